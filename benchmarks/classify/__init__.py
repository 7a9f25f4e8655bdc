"""What classifying costs."""
