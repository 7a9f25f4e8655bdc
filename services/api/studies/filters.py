"""Which studies a list or a calendar is about, as conditions on the ledger."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, String, exists, func, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from services.api.fields import ProjectCode, Uid
from services.api.paging import After, Limit
from services.api.studies.days import Day, within
from shared.ledger import Connection
from shared.ledger.states import ENDED
from shared.ledger.tables import Project, Series, Study, Transfer, core

_study, _series = core(Study), core(Series)
_transfer, _project = core(Transfer), core(Project)


class StudyFilter(BaseModel):
    """Conditions on studies; what is left out does not matter."""

    model_config = ConfigDict(extra="forbid")

    unassigned: bool | None = Field(
        None, description="Only studies that no project has, or only the others."
    )
    settled: bool | None = Field(
        None, description="Only studies of which everything seems to be there, or only the others."
    )
    project: ProjectCode | None = Field(None, description="Only studies that this project has.")
    modality: Annotated[str, Field(min_length=1, max_length=16)] | None = Field(
        None, description="Only studies with a series of this modality (0008,0060)."
    )
    label: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="Only studies with a series that has this label."
    )


class StudyQuery(StudyFilter):
    """A list of studies."""

    received_from: Day | None = Field(
        None, description="Only studies that began to arrive on this day or later."
    )
    received_to: Day | None = Field(None, description="The same, on this day or earlier.")
    studied_from: Day | None = Field(
        None, description="Only studies made on this day or later (StudyDate)."
    )
    studied_to: Day | None = Field(None, description="The same, on this day or earlier.")
    study_instance_uid: Uid | None = Field(
        None, description="Only the study with this received UID."
    )
    limit: Limit = 50
    after: After = None


def conditions(connection: Connection, wanted: StudyFilter) -> list[ColumnElement[bool]]:
    """What holds for the studies that are wanted."""
    found: list[ColumnElement[bool]] = []
    if wanted.unassigned is not None:
        is_assigned = exists(assigned())
        found.append(~is_assigned if wanted.unassigned else is_assigned)
    if wanted.settled is not None:
        unsettled = _study.c.settled_at.is_(None)
        found.append(~unsettled if wanted.settled else unsettled)
    if wanted.project is not None:
        project = select(_project.c.id).where(_project.c.code == wanted.project).scalar_subquery()
        found.append(exists(assigned().where(_transfer.c.project_id == project)))
    if wanted.modality is not None:
        found.append(_has_series(_series.c.modality == wanted.modality))
    if wanted.label is not None:
        found.append(_has_series(_is_labelled(connection, wanted.label)))
    if isinstance(wanted, StudyQuery):
        found += _of_query(wanted)
    return found


def identified_by(text: str) -> ColumnElement[bool]:
    """Whether a study's accession number, patient id or StudyInstanceUID is `text`."""
    columns = (_study.c.accession_number, _study.c.patient_id, _study.c.study_instance_uid)
    # Most systems write them in capitals, and people do not.
    return or_(*(column.in_({text, text.upper()}) for column in columns))


def _of_query(wanted: StudyQuery) -> list[ColumnElement[bool]]:
    found = within(_study.c.first_received_at, wanted.received_from, wanted.received_to)
    if wanted.studied_from is not None:
        found.append(_study.c.study_date >= f"{wanted.studied_from:%Y%m%d}")
    if wanted.studied_to is not None:
        # Many a study has no date: those would come before every day.
        found += [_study.c.study_date <= f"{wanted.studied_to:%Y%m%d}", _study.c.study_date != ""]
    if wanted.study_instance_uid is not None:
        found.append(_study.c.study_instance_uid == wanted.study_instance_uid)
    return found


def assigned() -> Select[tuple[int]]:
    """The transfers of a study, but for those that are over."""
    return select(_transfer.c.id).where(
        _transfer.c.study_id == _study.c.id, _transfer.c.state.not_in(ENDED)
    )


def _has_series(which: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(_series.c.study_id == _study.c.id, which)


def _is_labelled(connection: Connection, label: str) -> ColumnElement[bool]:
    if connection.dialect.name == "postgresql":
        # `@>` is what the index knows.
        return type_coerce(_series.c.labels, JSONB).contains({"labels": [label]})
    each = func.json_each(_series.c.labels, "$.labels").table_valued("value")
    return exists(select(each.c.value).where(type_coerce(each.c.value, String) == label))
