"""Slows down whoever guesses passwords: by the name and by the address they come from.

The counts are in the ledger, so that several replicas of the api count together.
"""

from datetime import timedelta

from sqlalchemy import case, delete, select, update

from shared.clock import now
from shared.identity import MasterKey
from shared.ledger import Connection
from shared.ledger.tables import Throttle, core
from shared.ledger.writing import insert_or

_throttle = core(Throttle)
_FORGOTTEN = timedelta(minutes=15)
# Failures: of a name from one address; of a name from anywhere, so that a stranger can't easily
# keep somebody out; and from one address, from which a whole ward may come.
_MOST = {"both": 8, "name": 40, "address": 40}


def keys(master_key: MasterKey, username: str, address: str) -> dict[str, str]:
    """What failures are counted under: hashes, since people type passwords as names by mistake."""
    return {
        kind: master_key.index(f"sign-in {kind}", value)
        for kind, value in (
            ("both", f"{username}\n{address}"),
            ("name", username),
            ("address", address),
        )
    }


async def is_barred(connection: Connection, counted: dict[str, str]) -> bool:
    """Whether there were too many failures lately; otherwise this try counts as one, so that many
    at once are no more than one after the other.
    """
    await _count(connection, counted)
    rows = await connection.execute(
        select(_throttle.c.key, _throttle.c.failures).where(
            _throttle.c.key.in_(list(counted.values())), _throttle.c.last_at > now() - _FORGOTTEN
        )
    )
    failures = {row.key: row.failures for row in rows}
    return any(failures.get(key, 0) > _MOST[kind] for kind, key in counted.items())


async def _count(connection: Connection, counted: dict[str, str]) -> None:
    """Count a failure. Old ones are forgotten."""
    moment = now()
    await connection.execute(delete(_throttle).where(_throttle.c.last_at < moment - _FORGOTTEN))
    for key in sorted(counted.values()):
        await connection.execute(
            insert_or(connection, _throttle)
            .values(key=key, failures=1, last_at=moment)
            .on_conflict_do_update(
                index_elements=["key"],
                set_={
                    "failures": case(
                        (_throttle.c.last_at < moment - _FORGOTTEN, 1),
                        else_=_throttle.c.failures + 1,
                    ),
                    "last_at": moment,
                },
            )
        )


async def succeeded(connection: Connection, counted: dict[str, str]) -> None:
    """The right password clears the name; of the address only this try: others may guess there."""
    cleared = [counted["both"], counted["name"]]
    await connection.execute(delete(_throttle).where(_throttle.c.key.in_(cleared)))
    await connection.execute(
        update(_throttle)
        .where(_throttle.c.key == counted["address"])
        .values(failures=_throttle.c.failures - 1)
    )
