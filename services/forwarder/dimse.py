"""Sends files to a Storage SCP over an association that is kept open (PS3.4 annex B)."""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.presentation import build_context

from services.forwarder.outcome import Answer, Verdict, away, of_status
from shared.errors import Reason
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from shared.settings import Settings

MAX_CONTEXTS = 128  # odd numbers from 1 to 255 (PS3.8 9.3.2.2)

Context = tuple[str, str]
"""SOP class and transfer syntax."""


@dataclass(frozen=True)
class Peer:
    """Where a destination is."""

    destination_id: int
    ae_title: str
    host: str
    port: int


@dataclass(frozen=True)
class Parcel:
    """One file to be sent."""

    delivery_id: int
    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str

    @property
    def context(self) -> Context:
        """The presentation context it needs."""
        return self.sop_class_uid, self.transfer_syntax_uid


class Sender:
    """One association to one destination, made when needed. Used by one thread at a time."""

    def __init__(self, settings: Settings, peer: Peer) -> None:
        self._peer, self._idle = peer, settings.association_idle
        self._association: Any = None
        self._proposed: set[Context] = set()
        self._used_at = 0.0
        _config.STORE_SEND_CHUNKED_DATASET = True
        _config.LOG_HANDLER_LEVEL = "none"
        entity = AE(settings.ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.acse_timeout = entity.dimse_timeout = settings.network_timeout
        entity.network_timeout = settings.network_timeout
        entity.connection_timeout = min(settings.network_timeout, 10.0)
        self._entity = entity

    def send(self, parcels: Iterable[Parcel]) -> dict[int, Answer]:
        """Send files one after the other; the answer to each of them, by delivery id."""
        waiting = list(parcels)
        answers: dict[int, Answer] = {}
        contexts = {parcel.context for parcel in waiting}
        for parcel in waiting:
            if not parcel.path.exists():
                answers[parcel.delivery_id] = Answer(Verdict.RETRY, Reason.SPOOL_FILE_MISSING)
                continue
            trouble = self._connect(parcel.context, contexts)
            answers[parcel.delivery_id] = trouble or self._store(parcel)
            if trouble:
                # Nobody there: the others need not knock as well.
                for other in waiting:
                    answers.setdefault(other.delivery_id, trouble)
                break
        self._used_at = time.monotonic()
        return answers

    def release_if_idle(self) -> None:
        """Release the association when nothing was sent for a while."""
        if self._association and time.monotonic() - self._used_at >= self._idle:
            self.release()

    def release(self) -> None:
        """Release the association."""
        if self._association and self._association.is_established:
            self._association.release()
        self._association = None

    def _connect(self, needed: Context, all_needed: set[Context]) -> Answer | None:
        """Make sure of an association that proposed `needed`; what went wrong otherwise."""
        if self._association and self._association.is_established and needed in self._proposed:
            return None
        self.release()
        self._proposed = set(
            sorted(all_needed | self._proposed, key=lambda one: (one not in all_needed, one))[
                :MAX_CONTEXTS
            ]
        )
        if needed not in self._proposed:
            self._proposed = {needed}
        association = self._entity.associate(
            self._peer.host,
            self._peer.port,
            contexts=[build_context(*context) for context in sorted(self._proposed)],
            ae_title=self._peer.ae_title,
            evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)],
        )
        if association.is_established:
            self._association = association
            return None
        if association.is_rejected:
            return away(f"association rejected: {_rejection(association)}")
        # All contexts refused also ends here: that is an answer, not an absence.
        if association.rejected_contexts and not association.accepted_contexts:
            self._proposed = set()
            return None
        return away("no association")

    def _store(self, parcel: Parcel) -> Answer:
        association = self._association
        accepted = {
            (str(cx.abstract_syntax), str(cx.transfer_syntax[0]))
            for cx in (association.accepted_contexts if association else ())
        }
        if parcel.context not in accepted:
            names = [UID(uid).name[:80] for uid in parcel.context]
            return Answer(Verdict.REJECT, Reason.SYNTAX_REFUSED, " in ".join(names))
        try:
            status = association.send_c_store(parcel.path)
        except (RuntimeError, OSError) as error:
            return away(type(error).__qualname__)
        except (ValueError, AttributeError, InvalidDicomError) as error:  # not what Sluse wrote
            return Answer(Verdict.REJECT, Reason.UNREADABLE, type(error).__qualname__)
        if "Status" not in status:
            return away("no answer")
        return of_status(int(status.Status))


def _rejection(association: Any) -> str:
    primitive = association.acceptor.primitive
    return str(primitive.reason_str) if primitive is not None else "no reason given"


def _no_delay(event: evt.Event) -> None:
    # The last, short PDU of an image must not wait for an acknowledgement (Nagle).
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
