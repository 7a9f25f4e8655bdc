"""The refusals resource."""
