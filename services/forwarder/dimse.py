"""Sends files to a Storage SCP over an association that is kept open (PS3.4 annex B)."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pydicom.uid import UID

from services.forwarder.association import Association
from services.forwarder.outcome import Answer, Verdict, away
from services.forwarder.pace import Pace
from services.forwarder.transcoding import UNCOMPRESSED, NotTranscodedError, Transcoder
from shared.dimse.requestor import (
    MAX_CONTEXTS,
    NotOpenedError,
    Proposal,
    open_association,
)
from shared.dimse.tls import TlsError, client_context
from shared.errors import Reason
from shared.settings import Settings

_SLOW = 2.0  # seconds without an answer after which a peer is left alone for a while
_SHORTEST_REST, _LONGEST_REST = 10.0, 600.0


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

    @property
    def fallback(self) -> Proposal:
        """The one that will do where that is refused."""
        others = tuple(one for one in UNCOMPRESSED if one != self.transfer_syntax_uid)
        return Proposal(self.sop_class_uid, others)


class Sender:
    """One association to one destination, made when needed. Used by one thread at a time."""

    def __init__(
        self, settings: Settings, peer: Peer, transcoder: Transcoder, pace: Pace | None = None
    ) -> None:
        self._settings, self._peer = settings, peer
        self._transcoder, self._pace = transcoder, pace or Pace(0)
        self._association: Association | None = None
        self._proposed: set[Proposal] = set()
        self._used_at = 0.0
        self._resting: Answer | None = None
        """What is said of a peer that is left alone for a while."""
        self._rests_until, self._pause = 0.0, 0.0

    def send(self, parcels: Iterable[Parcel]) -> dict[int, Answer]:
        """Send files one after the other; the answer to each of them, by delivery id."""
        waiting = list(parcels)
        if self._resting is not None and time.monotonic() < self._rests_until:
            return {parcel.delivery_id: self._resting for parcel in waiting}
        answers: dict[int, Answer] = {}
        broken = 0
        for parcel in waiting:
            began = time.monotonic()
            answer = self._send(parcel, waiting)
            answers[parcel.delivery_id] = answer
            gone = answer.reason is Reason.DESTINATION_AWAY
            broken = broken + 1 if gone else 0
            slow = gone and time.monotonic() - began > _SLOW
            if slow or broken > 1:
                # Nobody there, or nobody who answers: the others need not knock as well.
                self._rest(answer, slow=slow)
                for other in waiting:
                    answers.setdefault(other.delivery_id, answer)
                break
        if not broken:
            self._resting, self._pause = None, 0.0
        self._used_at = time.monotonic()
        return answers

    def _send(self, parcel: Parcel, waiting: list[Parcel]) -> Answer:
        try:
            association = self._connect(parcel, waiting)
        except (NotOpenedError, TlsError) as error:
            return away(str(error))
        self._pace.wait()
        return self._store(association, parcel)

    def _rest(self, answer: Answer, *, slow: bool) -> None:
        """Leave a peer alone that takes long to say nothing: others wait in the same queue."""
        self._pause = min(max(2 * self._pause, _SHORTEST_REST), _LONGEST_REST) if slow else 0.0
        self._resting, self._rests_until = answer, time.monotonic() + self._pause

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

    def _connect(self, parcel: Parcel, waiting: list[Parcel]) -> Association:
        """An association that proposed what `parcel` needs, and as far as it fits the others."""
        needed = (parcel.proposal, parcel.fallback)
        if self._association and self._association.open and self._proposed.issuperset(needed):
            return self._association
        self.release()
        # In pairs: who refuses the one is asked for the other over the same association.
        pairs = dict.fromkeys((one.proposal, one.fallback) for one in [parcel, *waiting])
        wanted = dict.fromkeys(chain(*pairs, sorted(self._proposed)))
        proposals = list(wanted)[:MAX_CONTEXTS]
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

    def _store(self, association: Association, parcel: Parcel) -> Answer:
        sop = parcel.sop_class_uid, parcel.sop_instance_uid
        accepted = association.accepted.get(parcel.proposal)
        if accepted is not None:
            return association.store(parcel.path, *sop, accepted)
        other = association.accepted.get(parcel.fallback)
        if other is None:
            names = [UID(uid).name[:80] for uid in (sop[0], parcel.transfer_syntax_uid)]
            return Answer(Verdict.REJECT, Reason.SYNTAX_REFUSED, " in ".join(names))
        try:
            with self._transcoder.copy(parcel.path, other.syntax) as copy:
                return association.store(copy, *sop, other)
        except NotTranscodedError as error:
            return error.answer
