"""QIDO-RS: searches the ledger for studies, series and instances (PS3.18 section 10.6)."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, select
from starlette.requests import Request

from services.api.dicomweb import rights
from services.api.dicomweb.attributes import Json, known, put
from services.api.dicomweb.headers import elements
from services.api.dicomweb.matching import Level, conditions
from services.api.dicomweb.outcomes import instance_url
from services.api.dicomweb.query import Query
from shared.errors import Reason, Retry
from shared.identity import is_usable_uid
from shared.ledger import Connection
from shared.ledger.states import Keeping
from shared.ledger.tables import Instance, Series, Study, core
from shared.runtime import Runtime
from shared.spool import Spool

_study, _series, _instance = core(Study), core(Series), core(Instance)

# What is returned of each level besides what the ledger has (PS3.18 tables 10.6.3-3 to 10.6.3-5).
_USUAL = {
    Level.STUDY: "StudyTime ReferringPhysicianName StudyID TimezoneOffsetFromUTC",
    Level.SERIES: "TimezoneOffsetFromUTC PerformedProcedureStepStartDate "
    "PerformedProcedureStepStartTime RequestAttributesSequence",
    Level.INSTANCE: "TimezoneOffsetFromUTC InstanceNumber Rows Columns BitsAllocated "
    "NumberOfFrames",
}
# What `includefield=all` adds, where it is not all of an instance.
_ALL = {
    Level.STUDY: "PatientAge PatientSize PatientWeight OtherPatientIDs PatientComments "
    "NameOfPhysiciansReadingStudy InstitutionName ProcedureCodeSequence",
    Level.SERIES: "SeriesDate SeriesTime Manufacturer ManufacturerModelName InstitutionName "
    "StationName BodyPartExamined ProtocolName PatientPosition Laterality OperatorsName",
    Level.INSTANCE: "ImageType AcquisitionDate AcquisitionTime AcquisitionNumber ContentDate "
    "ContentTime SamplesPerPixel PhotometricInterpretation BitsStored HighBit "
    "PixelRepresentation PixelSpacing SliceThickness SliceLocation ImagePositionPatient "
    "ImageOrientationPatient FrameOfReferenceUID WindowCenter WindowWidth RescaleIntercept "
    "RescaleSlope LossyImageCompression",
}
_MORE = "There are additional results that can be requested."


async def search(
    request: Request,
    runtime: Runtime,
    query: Query,
    level: Level,
    root: str,
    study: str | None = None,
    series: str | None = None,
) -> list[Json]:
    """What is found; `query.warnings` then says what could not be done as asked.

    Parameters
    ----------
    root
        URL of the service.
    study, series
        The only ones that are looked at, where the URL names them.
    """
    if not all(is_usable_uid(uid) for uid in (study, series) if uid is not None):
        return []  # nothing here has such a UID, and not every text may be asked for
    statement = _statement(level).where(*conditions(query, level))
    if study is not None:
        statement = statement.where(_study.c.study_instance_uid == study)
    if series is not None:
        statement = statement.where(_series.c.series_instance_uid == series)
    async with runtime.ledger.reading() as connection:
        statement = statement.where(await rights.seen(request, runtime, connection))
        page = statement.limit(query.limit + 1).offset(query.offset)
        rows = (await connection.execute(page)).all()
        modalities = await _modalities(connection, rows[: query.limit])
    if len(rows) > query.limit:
        query.warnings.append(_MORE)
    shown = rows[: query.limit]
    await rights.note(request, runtime, {row.study_id for row in shown})
    read = await asyncio.to_thread(_read, runtime.spool, shown, _tags(query, level, study, series))
    return [
        found | _described(row, level, root, modalities, study, series)
        for row, found in zip(shown, read, strict=True)
    ]


def _statement(level: Level) -> Select[Any]:
    """One row per result, with the key of a file that tells of it."""
    if level is Level.STUDY:
        first = (
            select(_series.c.id)
            .where(_series.c.study_id == _study.c.id, _series.c.instances > 0)
            .order_by(_series.c.id)
            .limit(1)
            .correlate(_study)
            .scalar_subquery()
        )
        file = select(_instance.c.spool_key).where(_instance.c.series_id == first)
        return select(
            *_of(_study), file.limit(1).correlate(_study).scalar_subquery().label("spool_key")
        ).order_by(_study.c.id.desc())
    if level is Level.SERIES:
        file = select(_instance.c.spool_key).where(_instance.c.series_id == _series.c.id)
        return (
            select(
                *_of(_study, _series),
                file.limit(1).correlate(_series).scalar_subquery().label("spool_key"),
            )
            .join_from(_series, _study, _series.c.study_id == _study.c.id)
            .order_by(_series.c.id)
        )
    return (
        select(*_of(_study, _series, _instance), _instance.c.spool_key)
        .join_from(_instance, _series, _instance.c.series_id == _series.c.id)
        .join(_study, _series.c.study_id == _study.c.id)
        .order_by(_instance.c.id)
    )


def _of(*tables: Any) -> list[Any]:
    """The tables' columns, `<table>_<column>`; not the documents, which are long."""
    return [
        column.label(f"{table.name}_{column.name}")
        for table in tables
        for column in table.c
        if column.name not in ("facts", "labels")
    ]


async def _modalities(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, list[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    studies = {row.study_id for row in rows}
    query = select(_series.c.study_id, _series.c.modality).distinct()
    for study_id, modality in await connection.execute(
        query.where(_series.c.study_id.in_(studies), _series.c.modality != "")
    ):
        found[study_id].add(modality)
    return {study_id: sorted(modalities) for study_id, modalities in found.items()}


def _tags(query: Query, level: Level, study: str | None, series: str | None) -> set[int]:
    """What is to be read from the files."""
    names = {*_USUAL[level].split()}
    # A search across studies tells of those as well, one across series of these (PS3.18 10.6.3.3).
    levels = [level]
    if level > Level.STUDY and study is None:
        levels.append(Level.STUDY)
    if level is Level.INSTANCE and series is None:
        levels.append(Level.SERIES)
    for one in levels:
        names |= {*_USUAL[one].split()}
        if query.include_all:
            names |= {*_ALL[one].split()}
    return {known(name).tag for name in names} | {one.tag for one in query.include}


def _read(spool: Spool, rows: Sequence[Row[Any]], tags: set[int]) -> list[Json]:
    return [_elements(spool, row.spool_key, tags) if row.spool_key else {} for row in rows]


def _elements(spool: Spool, spool_key: str, tags: set[int]) -> Json:
    try:
        return elements(spool.path(spool_key), tags)
    except Retry as error:
        if error.reason is Reason.SPOOL_FILE_MISSING:
            return {}  # the ledger knows enough to show that it should be here
        raise


def _described(
    row: Any,
    level: Level,
    root: str,
    modalities: dict[int, list[str]],
    study: str | None,
    series: str | None,
) -> Json:
    """What the ledger says of a result."""
    found: Json = {}
    put(found, "InstanceAvailability", "ONLINE" if _is_here(row, level) else "UNAVAILABLE")
    put(found, "StudyInstanceUID", row.study_study_instance_uid)
    url = f"{root}/studies/{row.study_study_instance_uid}"
    if level is Level.STUDY or study is None:
        _describe_study(found, row, modalities.get(row.study_id, []))
    if level >= Level.SERIES:
        put(found, "SeriesInstanceUID", row.series_series_instance_uid)
        url += f"/series/{row.series_series_instance_uid}"
        if level is Level.SERIES or series is None:
            _describe_series(found, row)
    if level is Level.INSTANCE:
        put(found, "SOPClassUID", row.instance_sop_class_uid)
        put(found, "SOPInstanceUID", row.instance_sop_instance_uid)
        put(found, "AvailableTransferSyntaxUID", row.instance_transfer_syntax_uid)
        url = instance_url(
            root, row.study_study_instance_uid, row.series_series_instance_uid,
            row.instance_sop_instance_uid,
        )  # fmt: skip
    put(found, "RetrieveURL", url)
    return found


def _is_here(row: Any, level: Level) -> bool:
    """Whether all of it can be retrieved: nothing was removed in its time (PS3.3 C.4.23.1)."""
    if level is Level.INSTANCE:
        return bool(row.instance_keeping == Keeping.HERE)
    return not (row.series_evicted if level is Level.SERIES else row.study_evicted)


def _describe_study(found: Json, row: Any, modalities: list[str]) -> None:
    put(found, "StudyDate", row.study_study_date)
    put(found, "AccessionNumber", row.study_accession_number)
    put(found, "ModalitiesInStudy", *modalities)
    put(found, "StudyDescription", row.study_study_description)
    put(found, "PatientName", row.study_patient_name)
    put(found, "PatientID", row.study_patient_id)
    put(found, "PatientBirthDate", row.study_patient_birth_date)
    put(found, "PatientSex", row.study_patient_sex)
    put(found, "NumberOfStudyRelatedSeries", row.study_series)
    put(found, "NumberOfStudyRelatedInstances", row.study_instances)


def _describe_series(found: Json, row: Any) -> None:
    put(found, "Modality", row.series_modality)
    put(found, "SeriesNumber", row.series_series_number)
    put(found, "SeriesDescription", row.series_series_description)
    put(found, "NumberOfSeriesRelatedInstances", row.series_instances)
