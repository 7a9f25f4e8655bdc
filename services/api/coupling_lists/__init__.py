"""The coupling list resource."""
