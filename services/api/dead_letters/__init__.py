"""The dead letters resource."""
