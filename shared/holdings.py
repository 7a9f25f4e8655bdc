"""What a research PACS holds, in whichever way it is asked: C-FIND or QIDO-RS."""

from collections.abc import Sequence
from typing import Any

from shared import qido
from shared.dimse import find
from shared.dimse.scu import Archive
from shared.ledger.states import Protocol
from shared.qido import WebArchive
from shared.settings import Settings

Place = Archive | WebArchive


def place_of(destination: Any) -> Place:
    """Where a destination is asked; its row."""
    if destination.protocol == Protocol.DICOMWEB:
        return WebArchive(destination.url, destination.credentials)
    return Archive(
        destination.ae_title or "",
        destination.host or "",
        destination.port or 0,
        destination.calling_aet,
        destination.tls,
        destination.credentials,
    )


def instances_held(settings: Settings, place: Place, study_uids: Sequence[str]) -> dict[str, int]:
    """How many instances are there of each study; studies that are not there are left out.

    Raises
    ------
    Retry
        It does not answer, or not in time.
    RefusedError
        It does not answer such queries.
    """
    if isinstance(place, WebArchive):
        return qido.instances_held(settings, place, study_uids)
    return find.instances_held(settings, place, study_uids)


def instance_uids(settings: Settings, place: Place, study_uid: str) -> set[str]:
    """The SOP Instance UIDs that are there of a study; it raises the same."""
    if isinstance(place, WebArchive):
        return qido.instance_uids(settings, place, study_uid)
    return find.instance_uids(settings, place, study_uid)
