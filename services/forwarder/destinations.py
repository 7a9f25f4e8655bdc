"""The destinations and their associations: a thread each, so that one that hangs stops no other."""

import asyncio
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from services.forwarder.dimse import Peer, Sender
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.work import Work
from shared.errors import Reason
from shared.settings import Settings


class Destinations:
    """Senders by destination, kept open between batches."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lines: dict[Peer, tuple[Sender, ThreadPoolExecutor]] = {}

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
        sender, thread = self._line(peer)
        parcels = [one.parcel for one in work]
        answers = await asyncio.get_running_loop().run_in_executor(thread, sender.send, parcels)
        return [(one, answers[one.parcel.delivery_id]) for one in work]

    def _line(self, peer: Peer) -> tuple[Sender, ThreadPoolExecutor]:
        if peer not in self._lines:
            thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forwarder")
            self._lines[peer] = Sender(self._settings, peer), thread
        return self._lines[peer]

    async def release_idle(self) -> None:
        """Release idle associations, for ever."""
        while True:
            await asyncio.sleep(self._settings.association_idle / 2)
            for sender, thread in self._lines.values():
                thread.submit(sender.release_if_idle)

    def close(self) -> None:
        """Release all associations."""
        for sender, thread in self._lines.values():
            thread.submit(sender.release)
            thread.shutdown()
