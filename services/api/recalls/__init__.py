"""The recalls resource."""
