"""The pages of a project's rules of de-identification, and of their previews."""
