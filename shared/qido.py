"""Asks a DICOMweb service how many instances it has of studies, with QIDO-RS (PS3.18 10.6)."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from shared import dicomweb
from shared.credentials import CredentialsError
from shared.dimse.scu import RefusedError
from shared.dimse.tls import TlsError
from shared.errors import Reason, Retry
from shared.settings import Settings

_PAGE = 1000  # matches asked for at a time
_MOST = 1_000_000  # instances of a study
_LONGEST = 64 << 20  # bytes of an answer
_STUDY, _SOP_INSTANCE, _INSTANCES = "0020000D", "00080018", "00201208"
_PASSING = frozenset({408, 425, 429})
_DENIALS = frozenset({401, 403, 407})
_REFUSALS = frozenset({501, 505})


@dataclass(frozen=True)
class WebArchive:
    """Where an archive with DICOMweb is."""

    url: str
    credentials: str = ""


def instances_held(
    settings: Settings, archive: WebArchive, study_uids: Sequence[str]
) -> dict[str, int]:
    """How many instances the archive has of each study; studies that it lacks are left out.

    Raises
    ------
    Retry
        It does not answer, or not in time.
    RefusedError
        It does not answer such queries.
    """
    with _Inquiry(settings, archive) as inquiry:
        return {uid: number for uid in study_uids if (number := inquiry.held(uid)) is not None}


def instance_uids(settings: Settings, archive: WebArchive, study_uid: str) -> set[str]:
    """The SOP Instance UIDs that the archive has of a study.

    Raises
    ------
    Retry
        It does not answer, or not in time.
    RefusedError
        It does not answer such queries.
    """
    with _Inquiry(settings, archive) as inquiry:
        return inquiry.instances(study_uid)


class _Inquiry:
    """Queries over one connection, in bounded time."""

    def __init__(self, settings: Settings, archive: WebArchive) -> None:
        self._deadline = time.monotonic() + settings.network_timeout
        try:
            self._client = dicomweb.client(settings, archive.url, archive.credentials)
        except (CredentialsError, TlsError) as error:
            raise Retry(Reason.DESTINATION_AWAY, str(error)) from None

    def __enter__(self) -> "_Inquiry":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def held(self, study_uid: str) -> int | None:
        """How many instances it has of a study; None where it does not have it."""
        query = {_STUDY: study_uid, "includefield": _INSTANCES}
        found = [one for one in self._ask("/studies", query) if _value(one, _STUDY) == study_uid]
        if not found:
            return None
        # One study may be there several times, under several patient ids.
        numbers = [number for one in found if isinstance(number := _value(one, _INSTANCES), int)]
        return sum(numbers) if len(numbers) == len(found) else len(self.instances(study_uid))

    def instances(self, study_uid: str) -> set[str]:
        """The SOP Instance UIDs of a study, page by page."""
        found: set[str] = set()
        matches = 0
        while matches < _MOST:
            query = {"includefield": _SOP_INSTANCE, "limit": str(_PAGE), "offset": str(matches)}
            page = self._ask(f"/studies/{study_uid}/instances", query)
            matches += len(page)
            uids = {str(_value(one, _SOP_INSTANCE)) for one in page} - found
            if not uids:  # also of a service that sends its first page again and again
                break
            found |= uids
        return found

    def _ask(self, path: str, query: dict[str, str]) -> list[Any]:
        if time.monotonic() > self._deadline:
            raise Retry(Reason.DESTINATION_AWAY, "the queries take too long")
        try:
            with self._client.stream(
                "GET", path, params=query, headers={"Accept": dicomweb.JSON}
            ) as answer:
                return self._matches(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Retry(Reason.DESTINATION_AWAY, f"no answer: {type(error).__name__}") from None

    def _matches(self, answer: httpx.Response) -> list[Any]:
        """The matches in an answer; none where it says that there are none."""
        status = answer.status_code
        if status == 204 or (status == 404 and answer.request.url.path.endswith("/instances")):
            return []
        if status in _DENIALS:
            raise Retry(Reason.DESTINATION_DENIED, f"query answered with HTTP {status}")
        if status in _PASSING or (status >= 500 and status not in _REFUSALS):
            raise Retry(Reason.DESTINATION_BUSY, f"query answered with HTTP {status}")
        if status != 200:
            raise RefusedError(f"query answered with HTTP {status}")
        content = b""
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > _LONGEST or time.monotonic() > self._deadline:
                raise Retry(Reason.DESTINATION_AWAY, "the answer to a query never ends")
        return _read(content)


def _read(content: bytes) -> list[Any]:
    try:
        found = json.loads(content or b"[]")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise RefusedError("query answered with something that is no DICOM JSON")
    return found


def _value(match: dict[str, Any], tag: str) -> Any:
    """The first value of an element; None where there is none."""
    element = match.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None
