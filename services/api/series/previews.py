"""The picture that stands for a series."""

from typing import NamedTuple

from sqlalchemy import select

from services.api.dicomweb.matching import is_shown
from services.api.problems import not_found
from services.api.rendering.choosing import Choices
from services.api.rendering.renderer import Source
from services.api.rendering.wishes import Failure
from shared.ledger.tables import Instance, Series, Study, core
from shared.runtime import Runtime

_study, _series, _instance = core(Study), core(Series), core(Instance)


class Shown(NamedTuple):
    """What a series is shown by."""

    modality: str
    source: Source | None
    """None where it has no instances, or none that is here."""
    failure: Failure = Failure.NO_PICTURE
    """Why it has none."""


async def find(runtime: Runtime, choices: Choices, series_id: int) -> Shown:
    """What a series is shown by; a 404 problem without it, or where its study is withdrawn."""
    query = (
        select(_series.c.modality, _series.c.evicted)
        .join_from(_series, _study, _series.c.study_id == _study.c.id)
        .where(_series.c.id == series_id, is_shown())
    )
    async with runtime.ledger.reading() as connection:
        found = (await connection.execute(query)).first()
    if found is None:
        raise not_found("series")
    modality = found.modality
    chosen = await choices.middle(series_id)
    of_chosen = select(_instance.c.id, _instance.c.revision, _instance.c.spool_key)
    async with runtime.ledger.reading() as connection:
        chosen_rows = await connection.execute(of_chosen.where(_instance.c.id == chosen))
        row = chosen_rows.one_or_none()
    if row is None:
        failure = Failure.EVICTED if found.evicted else Failure.NO_PICTURE
        return Shown(modality, None, failure)
    return Shown(modality, Source(row.id, row.revision, runtime.spool.path(row.spool_key)))
