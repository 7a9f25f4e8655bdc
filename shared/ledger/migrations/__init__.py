"""Schema changes, one after the other; run by `shared.ledger.schema`."""
