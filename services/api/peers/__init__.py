"""The peers resource."""
