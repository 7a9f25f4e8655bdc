"""The comparison of a project with its research PACS."""
