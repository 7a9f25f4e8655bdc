"""Asks an archive over C-FIND how many instances it has of studies (PS3.4 annex C, Study Root)."""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRoot

from shared.dimse.scu import Archive, RefusedError, associated
from shared.errors import Reason, Retry
from shared.settings import Settings

_AT_ONCE = 50
"""StudyInstanceUIDs per query; a UI element in explicit VR holds about a thousand."""
_PASSING = frozenset({0xA700, 0xFE00})  # out of resources; ended by a cancel that we did not send
_SUCCESS, _PENDING = 0x0000, frozenset({0xFF00, 0xFF01})  # PS3.4 table C.4-1


def instances_held(
    settings: Settings, archive: Archive, study_uids: Sequence[str]
) -> dict[str, int]:
    """How many instances the archive has of each study; studies that it does not have are left out.

    Raises
    ------
    Retry
        It does not answer, or not in time.
    RefusedError
        It does not answer such queries.
    """
    with associated(settings, archive, StudyRoot) as association:
        return _Inquiry(association, time.monotonic() + settings.network_timeout).held(study_uids)


def instance_uids(settings: Settings, archive: Archive, study_uid: str) -> set[str]:
    """The SOP Instance UIDs that the archive has of a study.

    Raises
    ------
    Retry
        It does not answer, or not in time.
    RefusedError
        It does not answer such queries.
    """
    with associated(settings, archive, StudyRoot) as association:
        inquiry = _Inquiry(association, time.monotonic() + settings.network_timeout)
        return inquiry.instances(study_uid)


class _Inquiry:
    """Queries over one association, until `deadline`."""

    def __init__(self, association: Any, deadline: float) -> None:
        self._association, self._deadline = association, deadline

    def held(self, study_uids: Sequence[str]) -> dict[str, int]:
        """How many instances there are of each study that is there."""
        numbers: dict[str, int | None] = {}
        for start in range(0, len(study_uids), _AT_ONCE):
            numbers |= self._listed(study_uids[start : start + _AT_ONCE])
        for uid in study_uids:
            if uid not in numbers:  # not every archive takes lists of UIDs
                numbers |= self._studies([uid])
        return {
            uid: self._in_series(uid) if number is None else number
            for uid, number in numbers.items()
        }

    def _listed(self, study_uids: Sequence[str]) -> dict[str, int | None]:
        try:
            return self._studies(study_uids)
        except RefusedError:
            # Maybe it is the list that was refused; they are asked for one by one then.
            return {}
        except Retry as error:
            if error.reason is not Reason.DESTINATION_BUSY or len(study_uids) == 1:
                raise
            return {}

    def _studies(self, study_uids: Sequence[str]) -> dict[str, int | None]:
        """The numbers of instances of studies; None where the archive does not say."""
        numbers: dict[str, list[int | None]] = defaultdict(list)
        matches = self._ask(
            "STUDY", StudyInstanceUID=list(study_uids), NumberOfStudyRelatedInstances=None
        )
        for match in matches:
            numbers[str(match.get("StudyInstanceUID"))].append(
                _number(match, "NumberOfStudyRelatedInstances")
            )
        return {uid: _sum(numbers[uid]) for uid in study_uids if uid in numbers}

    def _in_series(self, study_uid: str) -> int:
        """The number of instances in a study's series."""
        matches = self._ask(
            "SERIES",
            StudyInstanceUID=study_uid,
            SeriesInstanceUID="",
            NumberOfSeriesRelatedInstances=None,
        )
        total = 0
        for match in matches:
            number = _number(match, "NumberOfSeriesRelatedInstances")
            series_uid = str(match.get("SeriesInstanceUID"))
            total += len(self._images(study_uid, series_uid)) if number is None else number
        return total

    def instances(self, study_uid: str) -> set[str]:
        """The SOP Instance UIDs of a study."""
        series = self._ask("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="")
        uids = {str(match.get("SeriesInstanceUID")) for match in series}
        return set().union(*(self._images(study_uid, uid) for uid in sorted(uids)))

    def _images(self, study_uid: str, series_uid: str) -> set[str]:
        """The SOP Instance UIDs of a series."""
        matches = self._ask(
            "IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID=""
        )
        return {str(match.get("SOPInstanceUID")) for match in matches}

    def _ask(self, level: str, **keys: Any) -> list[Dataset]:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        if not self._association.is_established:
            raise Retry(Reason.DESTINATION_AWAY, "the association was broken off")
        matches: list[Dataset] = []
        for status, match in self._association.send_c_find(identifier, StudyRoot):
            code = status.get("Status")
            if code is None:
                raise Retry(Reason.DESTINATION_AWAY, "no answer to a query")
            if code == _SUCCESS:
                return matches
            if code in _PASSING or 0xC000 <= code <= 0xCFFF:
                said = f"{level} query answered with {code:04X}"
                raise Retry(Reason.DESTINATION_BUSY, said)
            # Also where it holds back matches (B001): a count of the others would be wrong.
            if code not in _PENDING or match is None:
                raise RefusedError(f"{level} query answered with {code:04X}")
            if time.monotonic() > self._deadline:
                raise Retry(Reason.DESTINATION_AWAY, "the queries take too long")
            matches.append(match)
        raise Retry(Reason.DESTINATION_AWAY, "no end of the answers to a query")


def _number(match: Dataset, keyword: str) -> int | None:
    try:
        value = match.get(keyword)
        return None if value in (None, "") else int(value)
    except (TypeError, ValueError):  # rubbish says as little as nothing
        return None


def _sum(numbers: list[int | None]) -> int | None:
    """The sum over entries of one study, which may be there under several patient ids."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
