"""The destinations resource."""
