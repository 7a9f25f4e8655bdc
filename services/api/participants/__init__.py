"""The participants resource."""
