from services.forwarder.outcome import Verdict, of_status
from shared.errors import Reason
from shared.ledger.counting import COUNTED
from shared.ledger.states import (
    DELIVERY_MOVES,
    IN_FLIGHT,
    TRANSFER_MOVES,
    DeliveryState,
    TransferState,
    sources_of,
)


def test_every_state_has_its_moves_and_none_leads_nowhere_unknown() -> None:
    assert set(DELIVERY_MOVES) == set(DeliveryState)
    assert set(TRANSFER_MOVES) == set(TransferState)
    assert all(targets <= set(DeliveryState) for targets in DELIVERY_MOVES.values())
    assert all(targets <= set(TransferState) for targets in TRANSFER_MOVES.values())


def test_nothing_is_forwarded_that_was_not_anonymized() -> None:
    assert sources_of(DeliveryState.FORWARDED) == [DeliveryState.ANONYMIZED]
    assert sources_of(DeliveryState.ANONYMIZED) == [DeliveryState.ASSIGNED]


def test_what_is_in_flight_can_end_and_what_ended_can_start_again() -> None:
    for state in IN_FLIGHT:
        assert DELIVERY_MOVES[state] - IN_FLIGHT
    for state in set(DeliveryState) - IN_FLIGHT - {DeliveryState.WITHDRAWN}:
        assert DELIVERY_MOVES[state] == {DeliveryState.ASSIGNED, DeliveryState.WITHDRAWN}
    assert not DELIVERY_MOVES[DeliveryState.WITHDRAWN]


def test_every_delivery_is_counted() -> None:
    assert set(COUNTED) == set(DeliveryState)
    assert {state for state, name in COUNTED.items() if name == "in_flight"} == IN_FLIGHT


def test_every_reason_has_words() -> None:
    assert all(reason.in_words.endswith((".", "!")) for reason in Reason)


def test_statuses_mean_what_the_standard_says() -> None:
    assert of_status(0x0000).verdict is Verdict.DONE and not of_status(0x0000).detail
    assert of_status(0xB007).verdict is Verdict.DONE and "warning" in of_status(0xB007).detail
    assert of_status(0xA700).verdict is of_status(0xA7FF).verdict is Verdict.RETRY
    assert of_status(0xA900).verdict is of_status(0xC123).verdict is Verdict.REJECT
    assert of_status(0x0122).reason is Reason.SYNTAX_REFUSED
    assert of_status(0x0FFF).verdict is Verdict.REJECT
