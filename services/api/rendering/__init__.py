"""Images of instances for pages and viewers, drawn here."""
