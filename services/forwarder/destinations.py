"""The destinations and their senders: a thread each, so that one that hangs stops no other."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol as PythonProtocol

from services.forwarder.dimse import DimseSender
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.pace import Pace
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.rest import LATER, TURN
from services.forwarder.stow import StowSender
from services.forwarder.transcoding import Transcoder
from services.forwarder.turns import Turns
from services.forwarder.work import Work
from shared.clock import now
from shared.errors import Reason
from shared.hours import wait_until
from shared.ledger.states import Protocol
from shared.priority import Priority
from shared.settings import Settings

_SLICES = {Priority.NORMAL: 64, Priority.BULK: 16}
"""Images that go over an association before others may have it."""
_REQUEST = 50
"""The same over DICOMweb: what fits in one request."""
_AWAY = (Reason.DESTINATION_AWAY, Reason.DESTINATION_DENIED)


class _Sender(PythonProtocol):
    """One association or connection to a destination."""

    def send(self, parcels: Sequence[Parcel]) -> dict[int, Answer]:
        """Send files one after the other; the answer to each of them, by delivery id."""

    def release_if_idle(self) -> None:
        """Close it when nothing was sent for a while."""

    def release(self) -> None:
        """Close it."""


@dataclass
class _Line:
    """One sender to a destination, and the thread that uses it."""

    sender: _Sender
    thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="forwarder")
    )
    turns: Turns = field(default_factory=Turns)


class Destinations:
    """Associations by destination, kept open between batches."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transcoder = Transcoder(settings)
        self._lines: dict[Peer, list[_Line]] = {}

    async def send(self, work: list[Work]) -> list[tuple[Work, Answer]]:
        """Send everything, the destinations side by side; the answer to each."""
        by_peer: dict[Peer, list[Work]] = defaultdict(list)
        answered: list[tuple[Work, Answer]] = []
        for one in work:
            if one.peer is None:
                answered.append((one, Answer(Verdict.REJECT, Reason.NO_DESTINATION)))
            else:
                by_peer[one.peer].append(one)
        for some in await asyncio.gather(*(self._send(*line) for line in by_peer.items())):
            answered += some
        return answered

    async def _send(self, peer: Peer, work: list[Work]) -> list[tuple[Work, Answer]]:
        """Send to one destination, several series side by side.

        A series goes over one association, always the same, so that its images come in order.
        """
        lines = self._lines_to(peer)
        shares: dict[tuple[int, Priority], list[Parcel]] = defaultdict(list)
        for one in work:
            shares[one.series_id % len(lines), one.priority].append(one.parcel)
        answers: dict[int, Answer] = {}
        for some in await asyncio.gather(
            *(
                _send_share(lines[number], peer, share, priority)
                for (number, priority), share in shares.items()
            )
        ):
            answers |= some
        return [(one, answers[one.id]) for one in work]

    def _lines_to(self, peer: Peer) -> list[_Line]:
        if peer not in self._lines:
            self._forget(peer.destination_id)
            pace = Pace(peer.images_per_second)
            kind = StowSender if peer.protocol == Protocol.DICOMWEB else DimseSender
            self._lines[peer] = [
                _Line(kind(self._settings, peer, self._transcoder, pace))
                for _ in range(peer.associations)
            ]
        return self._lines[peer]

    def _forget(self, destination_id: int) -> None:
        """Give up the associations to a destination as it was before somebody changed it."""
        for old in [one for one in self._lines if one.destination_id == destination_id]:
            for line in self._lines.pop(old):
                line.thread.submit(line.sender.release)
                line.thread.shutdown(wait=False)

    async def release_idle(self) -> None:
        """Release idle associations, for ever."""
        while True:
            await asyncio.sleep(self._settings.association_idle / 2)
            for line in self._all():
                line.thread.submit(line.sender.release_if_idle)

    def close(self) -> None:
        """Release all associations."""
        for line in self._all():
            line.thread.submit(line.sender.release)
        for line in self._all():
            line.thread.shutdown()
        self._transcoder.close()

    def _all(self) -> list[_Line]:
        return [line for lines in self._lines.values() for line in lines]


async def _send_share(
    line: _Line, peer: Peer, share: list[Parcel], priority: Priority
) -> dict[int, Answer]:
    """Send over one association, slice by slice, so that more urgent images may go in between."""
    loop, ends = asyncio.get_running_loop(), time.monotonic() + TURN
    size = _REQUEST if peer.protocol == Protocol.DICOMWEB else _SLICES[priority]
    answers: dict[int, Answer] = {}
    said: Answer | None = None
    with line.turns.share(priority):
        for start in range(0, len(share), size):
            some = share[start : start + size]
            async with line.turns.turn(priority):
                if said is None and time.monotonic() > ends:
                    said = LATER
                if said is None:
                    answers |= await loop.run_in_executor(line.thread, line.sender.send, some)
                    said = _gone(list(answers.values()))
            if said is not None:
                for one in some:
                    answers.setdefault(one.delivery_id, said)
    return answers


def _gone(answers: list[Answer]) -> Answer | None:
    """What the others need not knock for: nobody was there twice, or nobody is let in."""
    away = [one for one in answers[-2:] if one.reason in _AWAY]
    denied = answers[-1].reason is Reason.DESTINATION_DENIED
    return answers[-1] if len(away) == 2 or denied else None


def opens_in(peer: Peer) -> float:
    """Seconds until a destination takes images; 0 when it does."""
    return wait_until(peer.hours, now().astimezone())
