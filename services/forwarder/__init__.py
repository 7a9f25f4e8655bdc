"""Forwarder: de-identified copies to the research PACS, and what it said to each of them."""
