"""The pipeline resource."""
