"""Whether images are taken in, or the disk or the backlog stand against it: one place decides.

The gateway slows, and never sheds: what is inside goes on and is delivered, while senders are told
to come again later. Between the two marks of each measure it stays as it was, so that it does not
flutter. Any thread may ask.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from shared import telemetry
from shared.errors import Retry
from shared.ledger import Ledger
from shared.ledger.backlog import unfinished
from shared.settings import Settings
from shared.spool import Spool

log = telemetry.logger("pressure")

_LOOKS = 1.0  # seconds for which a look at the disk counts


class Because(StrEnum):
    """What stands against taking images."""

    DISK = "disk"
    BACKLOG = "backlog"


class Disk(NamedTuple):
    """How much room the spool's disk has."""

    free: int
    """Bytes that Sluse may use."""
    total: int
    low: bool
    """People are to be warned."""
    stopped: bool
    """No images are taken."""


class Backlog(NamedTuple):
    """How many images are received and not yet worked off."""

    images: int
    """Counted up to a little more than the limit."""
    stopped: bool


class Room(NamedTuple):
    """What the system says of a disk, as `os.statvfs` has it (POSIX `struct statvfs`)."""

    f_frsize: int
    """Bytes of a block."""
    f_blocks: int
    f_bavail: int
    """Blocks that are free for Sluse."""


def room(folder: Path) -> Room:
    """How much room there is on the disk of a folder."""
    said = os.statvfs(folder)
    return Room(said.f_frsize, said.f_blocks, said.f_bavail)


class Pressure:
    """Looks at the disk when it is asked, and at the backlog every now and then.

    Parameters
    ----------
    look, clock
        Those of the system; tests have their own.
    """

    def __init__(
        self,
        settings: Settings,
        look: Callable[[Path], Room] = room,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._room, self._clock = settings, look, clock
        self._lock = threading.Lock()
        self._disk: Disk | None = None
        self._looked = self._counted = -float("inf")
        self._backlog, self._in_ledger = Backlog(0, False), 0

    @property
    def backlog(self) -> Backlog:
        """As it was counted last."""
        return self._backlog

    def disk(self) -> Disk | None:
        """How much room there is, at most a second ago; None where the disk has never said so."""
        with self._lock:
            moment = self._clock()
            if moment - self._looked >= _LOOKS:
                self._looked = moment
                self._look()
            return self._disk

    def against_images(self) -> Because | None:
        """What stands against one more image of a sender who is here already."""
        disk = self.disk()
        return Because.DISK if disk and disk.stopped else None

    def against_senders(self) -> Because | None:
        """What stands against letting in another sender of images."""
        return self.against_images() or (Because.BACKLOG if self._backlog.stopped else None)

    async def watch(self, ledger: Ledger, spool: Spool) -> None:
        """Count the backlog, for ever; what does not answer counts as it did."""
        while True:
            try:
                await self.count(ledger, spool)
            except Retry as error:
                log.warning("backlog not counted", reason=error.reason)
            except Exception as error:  # a count that fails must not be the last one
                log.error("backlog not counted", exc_info=error)
            await asyncio.sleep(self._settings.backlog_every)

    async def count(self, ledger: Ledger, spool: Spool) -> None:
        """Count the backlog, unless somebody has just done so; and look at the disk."""
        moment = self._clock()
        if moment - self._counted < self._settings.backlog_every / 2:
            return
        self._counted = moment
        most = self._settings.backlog_stop + 1
        await asyncio.to_thread(self.disk)
        waiting = await asyncio.to_thread(spool.count_arrivals, most)
        try:
            async with ledger.reading() as connection:
                self._in_ledger = await unfinished(connection, most)
        except Retry as error:
            # What arrives while the database is away is seen in the inbox all the same.
            log.warning("backlog counted in part", reason=error.reason)
        self.note_backlog(waiting + self._in_ledger)

    def note_backlog(self, images: int) -> None:
        """Decide what `images` that wait mean."""
        before = self._backlog.stopped
        stopped = images > self._settings.backlog_stop or (
            before and images >= self._settings.backlog_resume
        )
        self._backlog = Backlog(images, stopped)
        telemetry.BACKLOG.set(images)
        _tell(Because.BACKLOG, before, stopped)

    def _look(self) -> None:
        try:
            said = self._room(self._settings.spool_path)
        except OSError as error:
            # Whoever writes is told by the disk itself.
            log.warning("the disk does not say how full it is", why=error.strerror)
            return
        free, total = said.f_bavail * said.f_frsize, said.f_blocks * said.f_frsize
        settings, before = self._settings, self._disk is not None and self._disk.stopped
        stop = settings.disk_stop.of(total)
        resume = max(stop, settings.disk_resume.of(total))
        stopped = free < (resume if before else stop)
        low = stopped or free < settings.disk_warn.of(total)
        self._disk = Disk(free, total, low, stopped)
        telemetry.DISK_FREE.set(free)
        telemetry.DISK_TOTAL.set(total)
        _tell(Because.DISK, before, stopped)


def _tell(because: Because, before: bool, stopped: bool) -> None:
    telemetry.INTAKE_STOPPED.labels(because.value).set(stopped)
    if stopped and not before:
        log.error("no images are taken for now", because=because)
    elif before and not stopped:
        log.info("images are taken again", because=because)
