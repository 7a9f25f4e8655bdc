"""The series resource."""
