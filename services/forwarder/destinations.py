"""The destinations and their senders: a thread each, so that one that hangs stops no other."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol as PythonProtocol

from services.forwarder.dimse import DimseSender
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.pace import Pace
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.stow import StowSender
from services.forwarder.transcoding import Transcoder
from services.forwarder.work import Work
from shared.clock import now
from shared.errors import Reason
from shared.hours import wait_until
from shared.ledger.states import Protocol
from shared.settings import Settings


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
        parcels: dict[int, list[Parcel]] = defaultdict(list)
        for one in work:
            parcels[one.series_id % len(lines)].append(one.parcel)
        loop = asyncio.get_running_loop()
        answers: dict[int, Answer] = {}
        for some in await asyncio.gather(
            *(
                loop.run_in_executor(lines[number].thread, lines[number].sender.send, share)
                for number, share in parcels.items()
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


def opens_in(peer: Peer) -> float:
    """Seconds until a destination takes images; 0 when it does."""
    return wait_until(peer.hours, now().astimezone())
