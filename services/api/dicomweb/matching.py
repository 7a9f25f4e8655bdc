"""Matching keys as conditions on the ledger (PS3.4 section C.2.2.2)."""

import re
from collections.abc import Callable
from enum import IntEnum

from sqlalchemy import ColumnElement, exists, or_, select

from services.api.dicomweb.query import Match, Query, unsupported, wrong
from shared.ledger.tables import Instance, Series, Study, WithdrawnStudy, core

_study, _series, _instance = core(Study), core(Series), core(Instance)
_withdrawn = core(WithdrawnStudy)

Condition = ColumnElement[bool]
_DATE = re.compile(r"[0-9]{8}")


class Level(IntEnum):
    """What is searched for."""

    STUDY = 1
    SERIES = 2
    INSTANCE = 3


def is_shown() -> Condition:
    """Whether a study may be seen: not when it is withdrawn from every project."""
    return ~exists().where(
        _withdrawn.c.study_instance_uid == _study.c.study_instance_uid,
        _withdrawn.c.project_id.is_(None),
    )


def conditions(query: Query, level: Level) -> list[Condition]:
    """What holds for the results; what can't be looked at becomes a warning."""
    found: list[Condition] = []
    for one in query.matches:
        least, make = _KEYS.get(one.attribute.keyword, (None, None))
        if least is None or make is None or least > level:
            query.warnings.append(unsupported(one.attribute))
        else:
            found.append(make(one))
    return found


def _uids(column: ColumnElement[str]) -> Callable[[Match], Condition]:
    return lambda match: column.in_(re.split(r"[,\\]", match.value))


def _text(column: ColumnElement[str]) -> Callable[[Match], Condition]:
    return lambda match: _like(column, match.value)


def _texts(column: ColumnElement[str]) -> Callable[[Match], Condition]:
    return lambda match: or_(*(_like(column, one) for one in re.split(r"[,\\]", match.value)))


def _like(column: ColumnElement[str], value: str) -> Condition:
    """Literally, or with `*` and `?`, which do not mind case."""
    if not set(value) & {"*", "?"}:
        return column == value
    return column.ilike(_pattern(value), escape="\\")


def _name(match: Match) -> Condition:
    """A name, without regard to case, by any of its representations."""
    column, pattern = _study.c.patient_name, _pattern(match.value.rstrip("^"))
    forms = (pattern, f"{pattern}^", f"{pattern}=%", f"%={pattern}", f"%={pattern}=%")
    return or_(*(column.ilike(one, escape="\\") for one in forms))


def _pattern(value: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", value)
    return escaped.replace("*", "%").replace("?", "_")


def _date(column: ColumnElement[str]) -> Callable[[Match], Condition]:
    """A day, or a range that may be open at one end (PS3.4 C.2.2.2.5)."""

    def condition(match: Match) -> Condition:
        first, dash, last = match.value.partition("-")
        days = [one for one in (first, last) if one]
        if not days or not all(map(_DATE.fullmatch, days)):
            raise wrong(match.attribute.name, "Write a day as 20200131, a range as 20200101-.")
        if not dash:
            return column == first
        # Those without a date would come before every day.
        return (column != "") & (column >= first) & (column <= (last or "99999999"))

    return condition


def _modalities(match: Match) -> Condition:
    of_study = _series.alias("any_series")
    return exists(
        select(of_study.c.id).where(
            of_study.c.study_id == _study.c.id,
            or_(*(_like(of_study.c.modality, one) for one in re.split(r"[,\\]", match.value))),
        )
    )


_KEYS: dict[str, tuple[Level, Callable[[Match], Condition]]] = {
    "StudyInstanceUID": (Level.STUDY, _uids(_study.c.study_instance_uid)),
    "PatientID": (Level.STUDY, _text(_study.c.patient_id)),
    "PatientName": (Level.STUDY, _name),
    "PatientBirthDate": (Level.STUDY, _date(_study.c.patient_birth_date)),
    "PatientSex": (Level.STUDY, _text(_study.c.patient_sex)),
    "AccessionNumber": (Level.STUDY, _text(_study.c.accession_number)),
    "StudyDate": (Level.STUDY, _date(_study.c.study_date)),
    "StudyDescription": (Level.STUDY, _text(_study.c.study_description)),
    "ModalitiesInStudy": (Level.STUDY, _modalities),
    "SeriesInstanceUID": (Level.SERIES, _uids(_series.c.series_instance_uid)),
    "Modality": (Level.SERIES, _texts(_series.c.modality)),
    "SeriesNumber": (Level.SERIES, _text(_series.c.series_number)),
    "SeriesDescription": (Level.SERIES, _text(_series.c.series_description)),
    "SOPInstanceUID": (Level.INSTANCE, _uids(_instance.c.sop_instance_uid)),
    "SOPClassUID": (Level.INSTANCE, _uids(_instance.c.sop_class_uid)),
    "AvailableTransferSyntaxUID": (Level.INSTANCE, _uids(_instance.c.transfer_syntax_uid)),
}
"""From which level on each key is looked at, and how."""
