"""Private instances of the servers that tests talk to: own ports and folders, gone afterwards."""
