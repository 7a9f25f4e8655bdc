"""The accounts resource, and how people are known again."""
