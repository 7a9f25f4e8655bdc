"""Brings what arrived into projects: by coupling lists, routing rules and AE titles, and by the
transfers that are open.
"""

from sqlalchemy import select

from services.classifier.catalogue import Recorded
from shared.identity import MasterKey
from shared.ledger import Connection
from shared.ledger.starting import Assigned, assign, renew
from shared.ledger.states import ENDED, TransferState
from shared.ledger.tables import Transfer, core
from shared.routing import candidates, take_all

_transfer = core(Transfer)


async def assign_arrived(
    connection: Connection, recorded: Recorded, patience: float, master_key: MasterKey
) -> Assigned:
    """Give what a batch brought its deliveries: in the transfers that are open, and in those that
    are requested now.
    """
    open_transfers = await connection.scalars(
        select(_transfer.c.id)
        .where(
            _transfer.c.study_id.in_(recorded.senders),
            # One that is only requested gets all its instances at once, when its turn comes.
            _transfer.c.state.not_in([TransferState.REQUESTED, *ENDED]),
        )
        .order_by(_transfer.c.id)
    )
    late = open_transfers.all()
    # Deliveries before transfers, as those lock them who send.
    again = await renew(connection, recorded.changed, transfer_ids=late, patience=patience)
    added = await assign(connection, late, patience=patience, instance_ids=recorded.new)
    requested = await take_all(
        connection, await candidates(connection, recorded.senders, master_key), master_key
    )
    return again + added + await assign(connection, requested, patience=patience)
