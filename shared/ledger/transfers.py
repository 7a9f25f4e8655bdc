"""The life of a transfer: requested, running, complete or in need of attention."""

from collections.abc import Iterable

from sqlalchemy import exists, select, update

from shared.clock import now
from shared.ledger.database import Connection
from shared.ledger.states import IN_FLIGHT, DeliveryState, TransferState, transfer_sources_of
from shared.ledger.tables import Delivery, Participant, Study, Transfer, core
from shared.ledger.writing import insert_or

_delivery, _transfer = core(Delivery), core(Transfer)
_participant, _study = core(Participant), core(Study)


async def run(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Set transfers running that have something in flight, for the first time or again."""
    wanted = list(transfer_ids)
    if wanted:
        state = TransferState.RUNNING
        await connection.execute(
            update(_transfer)
            .where(_transfer.c.id.in_(wanted), _transfer.c.state.in_(transfer_sources_of(state)))
            .values(state=state, changed_at=now())
        )


async def settle(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Set transfers complete, or in need of attention, when nothing of them is in flight.

    Locks the transfers, so that of two workers who finish the last two deliveries at the same time
    the second sees what the first has done.
    """
    wanted = sorted(set(transfer_ids))
    if not wanted:
        return
    await connection.execute(
        select(_transfer.c.id)
        .where(_transfer.c.id.in_(wanted))
        .order_by(_transfer.c.id)
        .with_for_update()
    )
    ended = [DeliveryState.HELD, DeliveryState.FAILED]
    for state, unless in (
        (TransferState.COMPLETE, [*IN_FLIGHT, *ended]),
        (TransferState.ATTENTION, [*IN_FLIGHT]),
    ):
        await connection.execute(
            update(_transfer)
            .where(
                _transfer.c.id.in_(wanted),
                _transfer.c.state.in_(transfer_sources_of(state)),
                ~exists().where(
                    _delivery.c.transfer_id == _transfer.c.id, _delivery.c.state.in_(unless)
                ),
            )
            .values(state=state, changed_at=now())
        )


async def lock_studies(connection: Connection, transfer_ids: Iterable[int]) -> None:
    """Keep instances from being added to the transfers' studies until this transaction ends."""
    await connection.execute(
        select(_study.c.id)
        .where(
            _study.c.id.in_(
                select(_transfer.c.study_id).where(_transfer.c.id.in_(list(transfer_ids)))
            )
        )
        .order_by(_study.c.id)
        .with_for_update()
    )


async def request_transfer(
    connection: Connection,
    *,
    study_id: int,
    project_id: int,
    participant: str,
    event: str,
    site: str,
    requested_by: str,
    rule_id: int | None = None,
) -> int | None:
    """Enter a transfer, and the participant where it is new.

    Returns
    -------
    The new transfer's id; None when the study is in this project already.
    """
    moment = now()
    participant_id = await connection.scalar(
        insert_or(connection, _participant)
        .values(project_id=project_id, pseudonym=participant, created_at=moment)
        .on_conflict_do_update(
            index_elements=["project_id", "pseudonym"], set_={"pseudonym": participant}
        )
        .returning(_participant.c.id)
    )
    transfer_id: int | None = await connection.scalar(
        insert_or(connection, _transfer)
        .values(
            study_id=study_id,
            project_id=project_id,
            participant_id=participant_id,
            event=event,
            site=site,
            state=TransferState.REQUESTED,
            requested_by=requested_by,
            rule_id=rule_id,
            requested_at=moment,
            changed_at=moment,
        )
        .on_conflict_do_nothing(index_elements=["study_id", "project_id"])
        .returning(_transfer.c.id)
    )
    return transfer_id
