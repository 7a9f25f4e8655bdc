"""The quarantine resource."""
