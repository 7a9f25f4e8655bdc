"""Asks a PACS to keep images for good: Storage Commitment Push Model SCU (PS3.4 annex J)."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydicom import Dataset
from pydicom import Sequence as Items
from pynetdicom import evt

from shared.dimse.scu import Archive, RefusedError, associated
from shared.errors import Reason, Retry
from shared.settings import Settings

PUSH_MODEL = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"  # PS3.4 J.3.5
REQUEST = 1  # action type (PS3.4 J.3.2)

_ON_THE_SPOT = 2.0  # seconds for a report over the same association
_SUCCESS, _PROCESSING_FAILURE = 0x0000, 0x0110
_PASSING = frozenset({0x0110, 0x0124, 0x0213})
_NOT_THERE = frozenset({0x0112, 0x0119})  # failure reasons (PS3.3 C.14.1.1)


Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


class Report(NamedTuple):
    """What a PACS says that it keeps (PS3.4 J.3.3)."""

    transaction_uid: str
    safe: list[str]
    """SOP Instance UIDs."""
    lost: list[str]
    """Those that it does not have. What it can't commit itself to for another reason is in neither.
    """


def read_report(said: Dataset) -> Report:
    """The report in an Event Information.

    Raises
    ------
    Exception
        Whatever a reader meets in garbage.
    """
    kept = said.get("ReferencedSOPSequence") or []
    failed = said.get("FailedSOPSequence") or []
    return Report(
        str(said.TransactionUID),
        [str(one.ReferencedSOPInstanceUID) for one in kept],
        [
            str(one.ReferencedSOPInstanceUID)
            for one in failed
            if one.get("FailureReason") in _NOT_THERE
        ],
    )


class Outcome(NamedTuple):
    """What came of asking."""

    accepted: set[str]
    """Transaction UIDs that the PACS is going to report on."""
    reports: list[Report]
    """What came over the same association at once, on earlier requests too."""
    error: Retry | RefusedError | None
    """Why it accepted no more."""


def request(
    settings: Settings, archive: Archive, asked: Mapping[str, Sequence[Reference]]
) -> Outcome:
    """Ask for commitment.

    Parameters
    ----------
    asked
        The images, by transaction UID.
    """
    accepted, reports = set[str](), list[Report]()
    all_here = threading.Event()

    def take(event: Any) -> tuple[int, None]:
        try:
            reports.append(read_report(event.event_information))
        except Exception:  # whatever a reader meets in garbage
            return _PROCESSING_FAILURE, None
        if accepted.issuperset(asked) and len(reports) >= len(asked):
            all_here.set()
        return _SUCCESS, None

    error: Retry | RefusedError | None = None
    try:
        with associated(
            settings, archive, PUSH_MODEL, handlers=[(evt.EVT_N_EVENT_REPORT, take)]
        ) as association:
            for transaction_uid, references in asked.items():
                _ask(association, transaction_uid, references)
                accepted.add(transaction_uid)
            if len(reports) < len(asked):
                all_here.wait(_ON_THE_SPOT)
    except (Retry, RefusedError) as refusal:
        error = refusal
    return Outcome(accepted, reports, error)


def _ask(association: Any, transaction_uid: str, references: Sequence[Reference]) -> None:
    asked = Dataset()
    asked.TransactionUID = transaction_uid
    asked.ReferencedSOPSequence = Items()
    for sop_class, sop_instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        asked.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_action(asked, REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    code = status.get("Status")
    if code is None:
        raise Retry(Reason.DESTINATION_AWAY, "no answer to a request for storage commitment")
    if code in _PASSING:
        raise Retry(Reason.DESTINATION_BUSY, f"storage commitment answered with {code:04X}")
    if code != _SUCCESS:
        raise RefusedError(f"storage commitment answered with {code:04X}")
