"""The messages of STOW-RS: what is posted, and what is answered (PS3.18 10.5.2, 10.5.3)."""

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from services.forwarder.outcome import Answer, Verdict, of_http, of_status
from services.forwarder.parcels import Parcel
from shared.errors import Reason

_CHUNK = 1 << 19  # bytes of a file that are read at a time
_NAMED = frozenset({200, 202, 409})  # the answers that may say what became of each image
_NO_ANSWER = "not an answer to STOW-RS"
_THERE_ALREADY = frozenset({0x0111, 0xB00E})  # PS3.7 C.5.5; Azure's DICOM service
# Tags of the Store Instances Response (PS3.18 table 10.5.3-2), as in DICOM JSON.
_FAILED, _REFERENCED = "00081198", "00081199"
_SOP_INSTANCE, _FAILURE_REASON, _WARNING_REASON = "00081155", "00081197", "00081196"


class Named(NamedTuple):
    """Images that an answer names: stored, with a warning, and failed, with the reason."""

    stored: dict[str, int | None]
    failed: dict[str, int | None]


class Body:
    """A multipart/related body of Part 10 files that are read while it is sent (RFC 2387)."""

    def __init__(self, files: Sequence[BinaryIO]) -> None:
        self._files = files
        self._sizes = [os.fstat(file.fileno()).st_size for file in files]
        boundary = uuid.uuid4().hex
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._end = f"--{boundary}--\r\n".encode()
        length = sum(self._sizes) + len(files) * (len(self._head) + 2) + len(self._end)
        self.headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            # Said beforehand: not every server takes chunks.
            "Content-Length": str(length),
        }

    def pieces(self) -> Iterator[bytes]:
        """The body, piece by piece.

        Raises
        ------
        OSError
            A file can't be read, or is shorter than it was.
        """
        for file, size in zip(self._files, self._sizes, strict=True):
            yield self._head
            file.seek(0)
            while size:
                piece = file.read(min(size, _CHUNK))
                if not piece:
                    raise OSError(0, "the file ends too early")
                size -= len(piece)
                yield piece
            yield b"\r\n"
        yield self._end


def said_of_each(
    status: int, content: bytes, parcels: Sequence[Parcel]
) -> tuple[dict[int, Answer], bool]:
    """What an answer to STOW-RS says of each image, and whether it may be one image's fault alone.

    Parameters
    ----------
    content
        A Store Instances Response in DICOM JSON with 200, 202 and 409, if the server is as it
        should be; with 200 nothing is taken for "all of them".
    """
    named = _named(content) if status in _NAMED and content else Named({}, {})
    if named is None and status != 409:  # what says so is no DICOMweb service
        said = Answer(Verdict.RETRY, Reason.DESTINATION_AWAY, f"HTTP {status} {_NO_ANSWER}")
        return {parcel.delivery_id: said for parcel in parcels}, False
    stored, failed = named or Named({}, {})
    answers, in_doubt = {}, False
    for parcel in parcels:
        uid = parcel.sop_instance_uid
        if uid in failed:
            answer = _failure(failed[uid])
        elif uid in stored:
            answer = _success(stored[uid])
        else:
            answer = of_http(status)
            if len(parcels) > 1 and (status == 202 or stored or failed):
                answer = Answer(Verdict.RETRY, Reason.DESTINATION_BUSY, f"HTTP {status} without it")
            in_doubt |= status == 500 or answer.verdict is not Verdict.DONE
        answers[parcel.delivery_id] = answer
    passing = status in (401, 403, 404, 407, 429) or status > 500
    return answers, in_doubt and len(parcels) > 1 and not passing


def _failure(reason: int | None) -> Answer:
    if reason is None:
        return Answer(Verdict.REJECT, Reason.DESTINATION_REFUSED, "not stored, without a reason")
    if reason in _THERE_ALREADY:  # whether that is so, it is asked when everything is sent
        return Answer(Verdict.DONE, None, f"{reason:04X} warning: has it already")
    answer = of_status(reason)
    if answer.verdict is not Verdict.DONE:
        return answer
    # What is a warning as a status has failed none the less, where it stands as a reason.
    return Answer(Verdict.REJECT, Reason.DESTINATION_REFUSED, answer.detail or f"{reason:04X}")


def _success(warning: int | None) -> Answer:
    if warning is None:
        return Answer(Verdict.DONE)
    said = of_status(warning)
    return Answer(Verdict.DONE, None, said.detail or f"{warning:04X} warning")


def _named(content: bytes) -> Named | None:
    """What an answer names; None when it is no such answer."""
    if content.lstrip().startswith(b"<") and b"NativeDicomModel" in content[:4096]:
        return Named({}, {})  # XML, which was not asked for
    try:
        said = json.loads(content)
        if isinstance(said, list):  # some servers put it into a list
            said = said[0] if said else {}
        return Named(
            _sequence(said.get(_REFERENCED), _WARNING_REASON),
            _sequence(said.get(_FAILED), _FAILURE_REASON),
        )
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return None


def _sequence(element: Any, code: str) -> dict[str, int | None]:
    found = {}
    for item in (element or {}).get("Value") or []:
        uid = _first(item.get(_SOP_INSTANCE))
        number = _first(item.get(code))
        if isinstance(uid, str):
            found[uid] = number if isinstance(number, int) and 0 <= number <= 0xFFFF else None
    return found


def _first(element: Any) -> Any:
    values = (element or {}).get("Value") or [None]
    return values[0]
