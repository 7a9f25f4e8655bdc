"""The findings resource."""
