"""`sluse doctor`: looks at the installation, and at the ledger beside the spool."""
