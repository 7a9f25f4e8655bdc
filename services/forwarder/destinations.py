"""The destinations and their associations: a thread each, so that one that hangs stops no other."""

import asyncio
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from services.forwarder.dimse import Parcel, Peer, Sender
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.pace import Pace
from services.forwarder.transcoding import Transcoder
from services.forwarder.work import Work
from shared.clock import now
from shared.errors import Reason
from shared.hours import wait_until
from shared.settings import Settings


@dataclass
class _Line:
    """One association to a destination, and the thread that uses it."""

    sender: Sender
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
            elif not is_open(one.peer):
                answered.append(
                    (one, Answer(Verdict.RETRY, Reason.DESTINATION_CLOSED, one.peer.hours))
                )
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
            self._lines[peer] = [
                _Line(Sender(self._settings, peer, self._transcoder, pace))
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


def is_open(peer: Peer) -> bool:
    """Whether a destination takes images at this hour."""
    return not wait_until(peer.hours, now().astimezone())
