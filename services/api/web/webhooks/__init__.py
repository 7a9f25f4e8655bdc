"""The pages of webhooks: those of the whole system, and those of one project."""
