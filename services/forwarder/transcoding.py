"""Copies in another transfer syntax, for a PACS that refuses the one that an image has.

Only ever to uncompressed or lossless ones, so that nothing is lost. Decoders meet whatever senders
have made: they run in a process of their own, which may be stopped, and has only so much memory.
"""

import multiprocessing
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pebble import ProcessExpired, ProcessPool
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from services.forwarder.outcome import Answer, Verdict
from shared import telemetry
from shared.errors import Reason
from shared.settings import Settings
from shared.spool import Spool

log = telemetry.logger("forwarder")

_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}  # bytes each (PS3.5 6.2)
_MEMORY = 8 << 30  # bytes of address space of the process
_RENEWED = 200  # images after which it is replaced


class NotTranscodedError(Exception):
    """There is no such copy.

    Parameters
    ----------
    answer
        What that means for the image.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.detail)
        self.answer = answer


class Transcoder:
    """Makes copies, one at a time for each thread that asks."""

    def __init__(self, settings: Settings) -> None:
        self._spool = Spool(settings.spool_path)
        self._timeout = settings.instance_timeout
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None

    def _process(self) -> ProcessPool:
        """The process, which is made when the first image needs it."""
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPool(
                    max_workers=1,
                    max_tasks=_RENEWED,
                    initializer=_limit,
                    # Not fork: threads and sockets of the parent have no business in there.
                    context=multiprocessing.get_context("forkserver"),
                )
            return self._pool

    @contextmanager
    def copy(self, source: Path, syntax: str) -> Iterator[Path]:
        """A copy of a file in `syntax`, which is removed when the block ends.

        Raises
        ------
        NotTranscodedError
            It can't be made.
        """
        with self._spool.scratch() as target:
            future = self._process().schedule(transcode, args=(source, target, syntax),
                                         timeout=self._timeout)  # fmt: skip
            try:
                future.result()
            except FileNotFoundError:
                answer = Answer(Verdict.RETRY, Reason.SPOOL_FILE_MISSING)
            except Exception as error:
                answer = _meaning(error)
                log.warning("image not transcoded", reason=answer.reason, why=answer.detail)
            else:
                yield target
                return
        raise NotTranscodedError(answer)

    def close(self) -> None:
        """Stop the process."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()


def transcode(source: Path, target: Path, syntax: str) -> None:
    """Write a file's image in another transfer syntax, everything else as it is.

    Parameters
    ----------
    syntax
        An uncompressed or lossless one.

    Raises
    ------
    Exception
        Whatever the codecs raise.
    """
    data_set = dcmread(source)
    wanted = UID(syntax)
    if data_set.file_meta.TransferSyntaxUID.is_compressed:
        # As it is encoded: converting colours rounds. The instance stays the same one.
        data_set.decompress(as_rgb=False, generate_instance_uid=False)
    if data_set.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        _turn_round(data_set)
    if wanted.is_encapsulated:
        data_set.compress(wanted, generate_instance_uid=False)
    data_set.file_meta.TransferSyntaxUID = wanted
    dcmwrite(
        target,
        data_set,
        implicit_vr=wanted == ImplicitVRLittleEndian,
        little_endian=True,
        enforce_file_format=True,
    )


def _turn_round(data_set: Dataset) -> None:
    """Turn the bytes round that pydicom keeps as they come from a big endian file."""
    for element in data_set.iterall():
        width = _WORDS.get(element.VR)
        if element.keyword == "PixelData" and width:
            width = max(int(data_set.BitsAllocated) // 8, width)
        if width and element.value:
            element.value = np.frombuffer(element.value, f"u{width}").byteswap().tobytes()


def _meaning(error: Exception) -> Answer:
    """What an error means for the image. Of its text nothing is kept: it may quote the image."""
    # What pebble raises of a process that ends or takes too long is an OSError, too.
    if isinstance(error, OSError) and not isinstance(error, ProcessExpired | TimeoutError):
        return Answer(Verdict.RETRY, Reason.DISK_TROUBLE, error.strerror or "")
    name = type(error).__qualname__
    return Answer(Verdict.REJECT, Reason.SYNTAX_REFUSED, f"can't be decoded: {name}")


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
