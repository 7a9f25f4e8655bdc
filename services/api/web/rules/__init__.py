"""The pages of the routing rules."""
