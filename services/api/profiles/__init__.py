"""A project's profile as people change it: drafts, the table in force, what is weaker."""
