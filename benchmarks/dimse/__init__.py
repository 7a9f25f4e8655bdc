"""The wire: receiving, sending and the whole journey, beside peers."""
