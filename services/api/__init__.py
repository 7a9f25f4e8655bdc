"""Api: the REST API and the web page, over the ledger."""
