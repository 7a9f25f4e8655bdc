"""Sends files to a Storage SCP over an association that is kept open (PS3.4 annex B)."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID

from services.forwarder.association import Association
from services.forwarder.outcome import Answer, Verdict, away
from services.forwarder.pace import Pace
from shared.dimse.requestor import (
    MAX_CONTEXTS,
    Accepted,
    NotOpenedError,
    Proposal,
    open_association,
)
from shared.dimse.tls import TlsError, client_context
from shared.errors import Reason
from shared.settings import Settings


@dataclass(frozen=True)
class Peer:
    """Where a destination is, and how it wants to be treated."""

    destination_id: int
    ae_title: str
    host: str
    port: int
    calling_aet: str | None = None
    """None for Sluse's own."""
    tls: bool = False
    associations: int = 1
    """Open at once, at most."""
    images_per_second: int = 0
    """0 for any number."""
    hours: str = ""
    """When it takes images; empty for always."""


@dataclass(frozen=True)
class Parcel:
    """One file to be sent."""

    delivery_id: int
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def proposal(self) -> Proposal:
        """The presentation context it needs."""
        return Proposal(self.sop_class_uid, (self.transfer_syntax_uid,))


class Sender:
    """One association to one destination, made when needed. Used by one thread at a time."""

    def __init__(self, settings: Settings, peer: Peer, pace: Pace | None = None) -> None:
        self._settings, self._peer = settings, peer
        self._pace = pace or Pace(0)
        self._association: Association | None = None
        self._proposed: set[Proposal] = set()
        self._used_at = 0.0

    def send(self, parcels: Iterable[Parcel]) -> dict[int, Answer]:
        """Send files one after the other; the answer to each of them, by delivery id."""
        waiting = list(parcels)
        answers: dict[int, Answer] = {}
        needed = {parcel.proposal for parcel in waiting}
        for parcel in waiting:
            try:
                association = self._connect(parcel.proposal, needed)
            except (NotOpenedError, TlsError) as error:
                # Nobody there: the others need not knock as well.
                for other in waiting:
                    answers.setdefault(other.delivery_id, away(str(error)))
                break
            self._pace.wait()
            answers[parcel.delivery_id] = _store(association, parcel)
        self._used_at = time.monotonic()
        return answers

    def release_if_idle(self) -> None:
        """Release the association when nothing was sent for a while."""
        idle = time.monotonic() - self._used_at >= self._settings.association_idle
        if self._association and idle:
            self.release()

    def release(self) -> None:
        """Release the association."""
        if self._association:
            self._association.release()
        self._association = None

    def _connect(self, needed: Proposal, all_needed: set[Proposal]) -> Association:
        """An association that proposed `needed`, and if they fit what else is waiting."""
        if self._association and self._association.open and needed in self._proposed:
            return self._association
        self.release()
        others = sorted((all_needed | self._proposed) - {needed}, key=lambda one: (
            one not in all_needed, one
        ))  # fmt: skip
        proposals = [needed, *others][:MAX_CONTEXTS]
        opened = open_association(
            (self._peer.host, self._peer.port),
            (self._peer.calling_aet or self._settings.ae_title, self._peer.ae_title),
            proposals,
            self._settings.network_timeout,
            client_context(self._settings) if self._peer.tls else None,
        )
        self._proposed = set(proposals)
        self._association = Association(opened)
        return self._association


def _store(association: Association, parcel: Parcel) -> Answer:
    accepted: Accepted | None = association.accepted.get(parcel.proposal)
    if accepted is None:
        names = [UID(uid).name[:80] for uid in (parcel.sop_class_uid, parcel.transfer_syntax_uid)]
        return Answer(Verdict.REJECT, Reason.SYNTAX_REFUSED, " in ".join(names))
    return association.store(parcel.path, parcel.sop_class_uid, parcel.sop_instance_uid, accepted)
