import json

import pytest
from pydantic import ValidationError

from shared.errors import Reason, Reject
from shared.events import (
    BATCH,
    EVENTS,
    AssociationClosed,
    Envelope,
    Event,
    InstanceAssigned,
    InstanceReceived,
)


def envelope(event: Event) -> Envelope:
    return Envelope.around(event, producer="tests", correlation_id="journey")


def test_every_event_class_is_registered_and_documented() -> None:
    def below(kind: type[Event]) -> set[type[Event]]:
        found = set(kind.__subclasses__())
        return found.union(*(below(one) for one in found))

    concrete = {kind for kind in below(Event) if "type" in vars(kind)}
    assert set(EVENTS.values()) == concrete
    assert all(kind.__doc__ and "→" in kind.__doc__ for kind in concrete)


def test_an_event_survives_the_journey() -> None:
    event = InstanceAssigned(transfer_id=1, series_id=2, delivery_ids=(3, 4))
    sent = envelope(event)
    assert Envelope.model_validate_json(sent.model_dump_json()) == sent
    assert sent.event() == event


def test_events_name_at_most_64_instances_and_at_least_one() -> None:
    InstanceAssigned(transfer_id=1, series_id=1, delivery_ids=tuple(range(1, BATCH + 1)))
    for ids in ((), tuple(range(1, BATCH + 2))):
        with pytest.raises(ValidationError):
            InstanceAssigned(transfer_id=1, series_id=1, delivery_ids=ids)


def test_events_split_into_their_instances() -> None:
    event = InstanceAssigned(transfer_id=1, series_id=1, delivery_ids=(3, 4))
    assert [part.delivery_ids for part in event.split()] == [(3,), (4,)]
    keys = tuple(f"inbox/{'a' * 32}/0000000{n}.dcm" for n in (1, 2))
    assert [part.keys for part in InstanceReceived(keys=keys).split()] == [(k,) for k in keys]
    assert AssociationClosed(association_id="a" * 32).split() == [
        AssociationClosed(association_id="a" * 32)
    ]


@pytest.mark.parametrize("key", ["/etc/passwd", "inbox/../x.dcm", "", "received/1.2/x/y.dcm"])
def test_keys_that_are_none_are_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        InstanceReceived(keys=(key,))


def test_another_version_or_type_is_rejected() -> None:
    good = envelope(AssociationClosed(association_id="a" * 32))
    for change in ({"schema_version": 2}, {"type": "no.such"}, {"body": {"association_id": "?"}}):
        with pytest.raises(Reject) as caught:
            good.model_copy(update=change).event()
        assert caught.value.reason is Reason.UNKNOWN_EVENT


def test_a_rejection_does_not_quote_the_message() -> None:
    bad = envelope(AssociationClosed(association_id="a" * 32)).model_copy(
        update={"body": {"association_id": "Nordmann^Kari"}}
    )
    with pytest.raises(Reject) as caught:
        bad.event()
    assert "Nordmann" not in str(caught.value)


def test_a_further_try_keeps_the_journey() -> None:
    first = envelope(InstanceAssigned(transfer_id=1, series_id=1, delivery_ids=(3, 4)))
    again = first.again(InstanceAssigned(transfer_id=1, series_id=1, delivery_ids=(4,)))
    assert (again.attempt, again.causation_id) == (1, first.message_id)
    assert again.correlation_id == first.correlation_id
    assert again.occurred_at == first.occurred_at
    assert json.loads(again.model_dump_json())["body"]["delivery_ids"] == [4]
