"""Which files a WADO-RS request is about: the newest revision of each instance."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select

from services.api.dicomweb.outcomes import instance_url
from services.api.problems import not_found
from shared.identity import is_usable_uid
from shared.ledger import Connection
from shared.ledger.tables import Instance, Series, Study, core

_study, _series, _instance = core(Study), core(Series), core(Instance)


class Held(NamedTuple):
    """An instance that is held here."""

    study: str
    series: str
    instance: str
    syntax: str
    spool_key: str
    size: int
    study_id: int

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
    """The instances of a study, a series, or one; a 404 problem where there are none.

    Parameters
    ----------
    seen
        What holds for the studies that may be seen.
    """
    what = "instance" if instance else "series" if series else "study"
    if not all(is_usable_uid(uid) for uid in (study, series, instance) if uid is not None):
        raise not_found(what)  # nothing here has such a UID, and not every text may be asked for
    query = (
        select(
            _study.c.study_instance_uid, _series.c.series_instance_uid,
            _instance.c.sop_instance_uid, _instance.c.transfer_syntax_uid,
            _instance.c.spool_key, _instance.c.size, _study.c.id,
        )
        .join_from(_instance, _series, _instance.c.series_id == _series.c.id)
        .join(_study, _series.c.study_id == _study.c.id)
        .where(_study.c.study_instance_uid == study, seen)
        .order_by(_instance.c.id)
    )  # fmt: skip
    if series is not None:
        query = query.where(_series.c.series_instance_uid == series)
    if instance is not None:
        query = query.where(_instance.c.sop_instance_uid == instance)
    rows: Any = await connection.execute(query)
    found = [Held(*row) for row in rows]
    if not found:
        raise not_found(what)
    return found
