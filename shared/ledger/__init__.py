"""The ledger: every instance accounted for, in PostgreSQL or SQLite."""

from shared.ledger.database import Connection, Ledger

__all__ = ["Connection", "Ledger"]
