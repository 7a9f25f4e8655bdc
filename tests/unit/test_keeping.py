"""How long files are kept, over all that can be said of a study."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as some

from shared.ledger.keeping import (
    Rules,
    StudyFacts,
    TransferFacts,
    copies_go_at,
    originals_go_at,
)
from shared.ledger.states import ENDED, KEEPING_MOVES, Keeping, TransferState, keeping_sources_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
days = some.none() | some.integers(1, 100)
moments = some.integers(0, 100).map(lambda n: BEGIN + timedelta(days=n))
transfers = some.builds(
    TransferFacts, id=some.integers(1, 9), state=some.sampled_from(TransferState),
    changed_at=moments, unfinished=some.sampled_from([0, 0, 0, 1]), originals_days=days,
    copies_days=days, being_deleted=some.sampled_from([False, False, True]),
)  # fmt: skip
studies = some.builds(
    StudyFacts, id=some.just(1), settled=some.sampled_from([True, True, False]),
    last_received_at=moments, under_hold=some.sampled_from([False, False, True]),
    promised_at=some.none() | moments, transfers=some.lists(transfers, max_size=4).map(tuple),
)  # fmt: skip
rules = some.builds(Rules, unassigned_days=days, promise_days=some.integers(1, 100))


@given(studies, rules)
def test_originals_are_kept_by_everything_that_keeps_them(study: StudyFacts, rule: Rules) -> None:
    goes = originals_go_at(study, rule)
    if study.under_hold or not study.settled:
        assert goes is None
    safe = {TransferState.COMPLETE, *ENDED}
    for one in study.transfers:
        if one.state not in safe or one.unfinished or one.being_deleted:
            assert goes is None
    in_force = [one for one in study.transfers if one.state not in ENDED]
    for one in in_force:
        if one.originals_days is None:
            assert goes is None
        if goes is not None:
            assert goes >= one.changed_at + timedelta(days=one.originals_days or 0)
            assert goes >= study.last_received_at + timedelta(days=one.originals_days or 0)
    if not in_force:
        if rule.unassigned_days is None:
            assert goes is None
        elif goes is not None:
            assert goes >= study.last_received_at + timedelta(days=rule.unassigned_days)
    if goes is not None and study.promised_at is not None:
        assert goes >= study.promised_at + timedelta(days=rule.promise_days)


@given(studies, rules)
def test_nothing_is_kept_for_ever_without_a_reason(study: StudyFacts, rule: Rules) -> None:
    if originals_go_at(study, rule) is None:
        in_force = [one for one in study.transfers if one.state not in ENDED]
        assert (
            study.under_hold
            or not study.settled
            or not all(one.at_rest for one in study.transfers)
            or None in [one.originals_days for one in in_force]
            or (not in_force and rule.unassigned_days is None)
        )


@given(studies)
def test_copies_are_kept_until_they_are_delivered(study: StudyFacts) -> None:
    for one in study.transfers:
        goes = copies_go_at(study, one)
        undelivered = one.unfinished or one.state not in {TransferState.COMPLETE, *ENDED}
        if study.under_hold or undelivered or one.copies_days is None:
            assert goes is None
        if goes is not None:
            assert goes == one.changed_at + timedelta(days=one.copies_days or 0)


def test_a_file_goes_by_way_of_leaving() -> None:
    assert keeping_sources_of(Keeping.EVICTED) == [Keeping.LEAVING]
    assert set(keeping_sources_of(Keeping.HERE)) == {Keeping.LEAVING, Keeping.EVICTED}
    assert KEEPING_MOVES[Keeping.HERE] == {Keeping.LEAVING}
