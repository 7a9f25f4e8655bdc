"""How long lists and counts take over a large ledger."""
