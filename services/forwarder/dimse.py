"""Sends files to a Storage SCP over an association that is kept open (PS3.4 annex B)."""

import time
from collections.abc import Sequence
from itertools import chain

from services.forwarder.association import Association
from services.forwarder.outcome import Answer, Verdict, away
from services.forwarder.pace import Pace
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.rest import LATER, Rest
from services.forwarder.transcoding import NotTranscodedError, Transcoder
from shared.dimse.requestor import (
    MAX_CONTEXTS,
    NotOpenedError,
    Proposal,
    open_association,
)
from shared.dimse.tls import TlsError, client_context
from shared.errors import Reason
from shared.settings import Settings


class DimseSender:
    """One association to one destination, made when needed. Used by one thread at a time."""

    def __init__(
        self, settings: Settings, peer: Peer, transcoder: Transcoder, pace: Pace | None = None
    ) -> None:
        self._settings, self._peer = settings, peer
        self._transcoder, self._pace = transcoder, pace or Pace(0)
        self._association: Association | None = None
        self._proposed: set[Proposal] = set()
        self._used_at = 0.0
        self._rest = Rest()

    def send(self, parcels: Sequence[Parcel]) -> dict[int, Answer]:
        """Send files one after the other; the answer to each of them, by delivery id."""
        resting = self._rest.begin_batch()
        if resting is not None:
            return {parcel.delivery_id: resting for parcel in parcels}
        answers: dict[int, Answer] = {}
        for parcel in parcels:
            if self._rest.is_late():
                answers[parcel.delivery_id] = LATER
                continue
            began = time.monotonic()
            answer = self._send(parcel, parcels)
            answers[parcel.delivery_id] = answer
            if self._rest.note(answer, time.monotonic() - began):
                for other in parcels:
                    answers.setdefault(other.delivery_id, answer)
                break
        self._rest.end_batch()
        self._used_at = time.monotonic()
        return answers

    def _send(self, parcel: Parcel, waiting: Sequence[Parcel]) -> Answer:
        try:
            association = self._connect(parcel, waiting)
        except (NotOpenedError, TlsError) as error:
            return away(str(error))
        self._pace.wait()
        return self._store(association, parcel)

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

    def _connect(self, parcel: Parcel, waiting: Sequence[Parcel]) -> Association:
        """An association that proposed what `parcel` needs, and as far as it fits the others."""
        fits = self._proposed.issuperset(self._proposals(parcel))
        if self._association and self._association.open and fits:
            return self._association
        self.release()
        # Together: who refuses the one is asked for the others over the same association.
        groups = dict.fromkeys(self._proposals(one) for one in [parcel, *waiting])
        wanted = dict.fromkeys(chain(*groups, sorted(self._proposed)))
        proposals = list(wanted)[:MAX_CONTEXTS]
        opened = open_association(
            (self._peer.host, self._peer.port),
            (self._peer.calling_aet or self._settings.ae_title, self._peer.ae_title),
            proposals,
            self._settings.network_timeout,
            client_context(self._settings, self._peer.credentials) if self._peer.tls else None,
        )
        self._proposed = set(proposals)
        self._association = Association(opened)
        return self._association

    def _proposals(self, parcel: Parcel) -> tuple[Proposal, ...]:
        return parcel.proposals(self._peer.transfer_syntax)

    def _store(self, association: Association, parcel: Parcel) -> Answer:
        own, *others = self._proposals(parcel)
        sop = parcel.sop_class_uid, parcel.sop_instance_uid
        accepted = association.accepted.get(own)
        if accepted is not None:
            return association.store(parcel.path, *sop, accepted)
        answer = Answer(Verdict.REJECT, Reason.SYNTAX_REFUSED, parcel.kind)
        for other in filter(None, map(association.accepted.get, others)):
            try:
                with self._transcoder.copy(parcel.path, other.syntax) as copy:
                    return association.store(copy, *sop, other)
            except NotTranscodedError as error:
                answer = error.answer
                if answer.verdict is Verdict.RETRY:
                    return answer
        return answer
