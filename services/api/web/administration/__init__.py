"""The pages of those who run Sluse, and of one's own account."""
