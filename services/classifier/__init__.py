"""Classifier: what arrived goes into the ledger, and rules and requests assign it to projects."""
