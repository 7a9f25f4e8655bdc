"""Which files a WADO-RS request is about: the newest revision of each instance.

Of what was removed in its time the ledger still knows: that is 410, gone, and not 404 (PS3.18 8.5).
"""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, select

from services.api.dicomweb.outcomes import instance_url
from services.api.problems import evicted, not_found
from services.api.rendering.choosing import Choices
from shared.identity import is_usable_uid
from shared.ledger import Connection, Ledger
from shared.ledger.tables import Instance, Series, Study, core

_study, _series, _instance = core(Study), core(Series), core(Instance)

# Series that do not stand for a study as long as there are others.
_NO_IMAGES = frozenset(
    {"SR", "KO", "PR", "DOC", "ECG", "HD", "EPS", "AU", "REG", "FID", "SEG", "PLAN", "RTPLAN",
     "RTSTRUCT", "RTRECORD", "OT", "RWV", "ANN"}
)  # fmt: skip


class Held(NamedTuple):
    """An instance that is held here."""

    study: str
    series: str
    instance: str
    syntax: str
    spool_key: str
    size: int
    id: int
    revision: int
    modality: str
    study_id: int
    keeping: str

    def url(self, root: str) -> str:
        """Where it is retrieved."""
        return instance_url(root, self.study, self.series, self.instance)


async def find(
    connection: Connection,
    seen: ColumnElement[bool],
    study: str,
    series: str | None = None,
    instance: str | None = None,
) -> list[Held]:
    """The instances of a study, a series, or one, removed ones too; a 404 problem for none.

    Parameters
    ----------
    seen
        What holds for the studies that may be seen.
    """
    what = _named(study, series, instance)
    query = _instances().where(_study.c.study_instance_uid == study, seen)
    if series is not None:
        query = query.where(_series.c.series_instance_uid == series)
    if instance is not None:
        query = query.where(_instance.c.sop_instance_uid == instance)
    return await _found(connection, query, what)


async def representative(
    ledger: Ledger,
    seen: ColumnElement[bool],
    choices: Choices,
    study: str,
    series: str | None = None,
) -> Held:
    """The instance that a series, or the largest series of a study, is shown by.

    A 404 problem without it, a 410 problem where it was removed.
    """
    what = _named(study, series)
    query = (
        select(_series.c.id, _series.c.modality, _series.c.instances, _series.c.evicted)
        .join_from(_series, _study, _series.c.study_id == _study.c.id)
        .where(_study.c.study_instance_uid == study, seen)
    )
    if series is not None:
        query = query.where(_series.c.series_instance_uid == series)
    async with ledger.reading() as connection:
        rows = (await connection.execute(query)).all()
    if not rows:
        raise not_found(what)
    there = [row for row in rows if row.evicted < row.instances] or rows
    best = min(there, key=lambda row: (row.modality in _NO_IMAGES, -row.instances, row.id))
    chosen = await choices.middle(best.id)
    if chosen is None and best.evicted:
        raise evicted()
    async with ledger.reading() as connection:
        (held,) = await _found(connection, _instances().where(_instance.c.id == chosen), what)
    return held


def _named(study: str, series: str | None = None, instance: str | None = None) -> str:
    """What is asked for; a 404 problem where it can't be here.

    Nothing here has a UID that is none, and not every text may be asked for.
    """
    what = "instance" if instance else "series" if series else "study"
    if not all(is_usable_uid(uid) for uid in (study, series, instance) if uid is not None):
        raise not_found(what)
    return what


def _instances() -> Select[Any]:
    return (
        select(
            _study.c.study_instance_uid, _series.c.series_instance_uid,
            _instance.c.sop_instance_uid, _instance.c.transfer_syntax_uid,
            _instance.c.spool_key, _instance.c.size, _instance.c.id, _instance.c.revision,
            _series.c.modality, _study.c.id, _instance.c.keeping,
        )
        .join_from(_instance, _series, _instance.c.series_id == _series.c.id)
        .join(_study, _series.c.study_id == _study.c.id)
        .order_by(_instance.c.id)
    )  # fmt: skip


async def _found(connection: Connection, query: Select[Any], what: str) -> list[Held]:
    found = [Held(*row) for row in await connection.execute(query)]
    if not found:
        raise not_found(what)
    return found
