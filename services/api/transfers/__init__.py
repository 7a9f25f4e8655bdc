"""The transfers resource."""
