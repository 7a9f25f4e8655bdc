"""What de-identification costs."""
