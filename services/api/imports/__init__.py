"""Imports: folders, ZIPs and CDs that people bring in through the web page (docs/importing.md)."""
