"""Whether somebody keeps a copy of the master key: noted in the audit, asked for by the doctor."""

from sqlalchemy import select

from shared.identity import MasterKey
from shared.ledger import Connection, Ledger
from shared.ledger.auditing import Action, Actor, audit
from shared.ledger.tables import AuditEvent, core


async def note_kept(ledger: Ledger, key: MasterKey) -> None:
    """Note that a copy of the key is kept somewhere."""
    async with ledger.transaction() as connection:
        await audit(
            connection, Action.MASTER_KEY_KEPT, actor=Actor.COMMAND_LINE, key=key.fingerprint
        )


async def is_kept(connection: Connection, key: MasterKey) -> bool:
    """Whether somebody has said, or made, a copy of this key."""
    event = core(AuditEvent)
    subjects = await connection.scalars(
        select(event.c.subject).where(event.c.action == Action.MASTER_KEY_KEPT)
    )
    return any(subject.get("key") == key.fingerprint for subject in subjects)
