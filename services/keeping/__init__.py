"""Keeping Sluse: backup and restore, the doctor, the master key (docs/operations.md)."""
