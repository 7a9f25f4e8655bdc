"""The common floor under the services: events, bus, ledger, spool, settings, identity."""
