"""The studies resource."""
