"""Which instance a series is shown by: the one in the middle."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from shared.errors import StepError
from shared.header import read_header
from shared.ledger import Ledger
from shared.ledger.states import Keeping
from shared.ledger.tables import Instance, core
from shared.spool import Spool

_instance = core(Instance)
_INSTANCE_NUMBER = 0x00200013
_MOST_READ = 400  # headers; of longer series every second, third, … one
_MOST_LISTED = 100_000
_MOST_KEPT = 5000


class Choices:
    """Instances that series are shown by, remembered until more of a series arrives."""

    def __init__(self, ledger: Ledger, spool: Spool) -> None:
        self._ledger, self._spool = ledger, spool
        self._made: OrderedDict[tuple[int, int, int], int] = OrderedDict()

    async def middle(self, series_id: int) -> int | None:
        """The id of the instance in the middle of a series; None where none is here.

        By InstanceNumber, and where that is equal or missing in the order of arrival.
        """
        here = _instance.c.keeping == Keeping.HERE
        of_series = (_instance.c.series_id == series_id) & here
        counted = select(func.count(), func.max(_instance.c.id)).where(of_series)
        listed = (
            select(_instance.c.id, _instance.c.spool_key)
            .where(of_series)
            .order_by(_instance.c.id)
            .limit(_MOST_LISTED)
        )
        async with self._ledger.reading() as connection:
            count, last = (await connection.execute(counted)).one()
            key = (series_id, count, last)
            if key in self._made:
                return self._made[key]
            rows = (await connection.execute(listed)).all()
        if not rows:
            return None
        # Without the connection: a slow disk is not to keep others from the database.
        some = rows[:: -(-len(rows) // _MOST_READ)]
        chosen = self._made[key] = await asyncio.to_thread(self._choose, some)
        if len(self._made) > _MOST_KEPT:
            self._made.popitem(last=False)
        return chosen

    def _choose(self, rows: Sequence[Any]) -> int:
        ordered = sorted((self._number(row.spool_key), row.id) for row in rows)
        _, chosen = ordered[len(ordered) // 2]
        return int(chosen)

    def _number(self, spool_key: str) -> int:
        try:
            header = read_header(self._spool.path(spool_key), stop_after=_INSTANCE_NUMBER)
            return int(header.text(_INSTANCE_NUMBER) or 0)
        except (OSError, StepError, ValueError):
            return 0
