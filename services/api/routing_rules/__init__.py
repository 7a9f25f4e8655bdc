"""The routing rules resource."""
