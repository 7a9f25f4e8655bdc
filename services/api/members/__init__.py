"""The members of projects."""
