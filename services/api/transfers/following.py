"""What is announced for deliveries that start, or start again."""

from shared.events import InstanceAssigned
from shared.ledger.starting import Assigned


def assigned_events(assigned: Assigned) -> list[InstanceAssigned]:
    """The events that hand deliveries to the anonymizer."""
    return [batch.event(InstanceAssigned) for batch in assigned]
