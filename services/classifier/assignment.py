"""Assigns studies to projects: by the routing rules, and by the transfers that are open."""

from sqlalchemy import select, update

from services.classifier.catalogue import Recorded
from services.classifier.routing import matching
from shared.admission import refusals
from shared.ledger import Connection
from shared.ledger.deliveries import Assigned, assign, renew
from shared.ledger.states import TransferState
from shared.ledger.tables import Project, RoutingRule, Study, Transfer, core
from shared.ledger.transfers import request_transfer
from shared.spool import Association as Sender

_study, _transfer = core(Study), core(Transfer)
_project, _rule = core(Project), core(RoutingRule)


async def assign_arrived(
    connection: Connection, recorded: Recorded, senders: dict[str, Sender], patience: float
) -> Assigned:
    """Give what a batch brought its deliveries: in the transfers that are open, and in those that
    the rules request now.
    """
    open_transfers = await connection.scalars(
        select(_transfer.c.id)
        .where(
            _transfer.c.study_id.in_(recorded.senders),
            # One that is only requested gets all its instances at once, when its turn comes.
            _transfer.c.state != TransferState.REQUESTED,
        )
        .order_by(_transfer.c.id)
    )
    late = await assign(
        connection, open_transfers.all(), patience=patience, instance_ids=recorded.new
    )
    routed = await _route(connection, recorded, senders)
    return (
        await renew(connection, recorded.changed, patience=patience)
        + late
        + await assign(connection, routed, patience=patience)
    )


async def _route(
    connection: Connection, recorded: Recorded, senders: dict[str, Sender]
) -> list[int]:
    """Let the enabled rules request transfers; the new transfers' ids.

    A rule whose patient id can't be a participant of its project does not assign; the study's
    `routing_note` then says why, and a person decides.
    """
    rules = [
        RoutingRule.model_validate(dict(row))
        for row in (await connection.execute(select(_rule).where(_rule.c.enabled))).mappings()
    ]
    if not rules:
        return []
    projects = {
        row["id"]: Project.model_validate(dict(row))
        for row in (
            await connection.execute(
                select(_project).where(_project.c.id.in_({rule.project_id for rule in rules}))
            )
        ).mappings()
    }
    studies = await connection.execute(
        select(_study.c.id, _study.c.patient_id, _study.c.patient_name)
        .where(_study.c.id.in_(recorded.senders))
        .order_by(_study.c.id)
    )
    requested = []
    for study_id, patient_id, patient_name in studies.all():
        brought_by = [senders[one] for one in recorded.senders[study_id]]
        for rule in matching(rules, brought_by, patient_id, patient_name):
            against = refusals(projects[rule.project_id], patient_id, rule.event, rule.site)
            await _note(connection, study_id, against[0].objection if against else "")
            if against:
                continue
            transfer_id = await request_transfer(
                connection,
                study_id=study_id,
                project_id=rule.project_id,
                participant=patient_id,
                event=rule.event,
                site=rule.site,
                requested_by="rule",
                rule_id=rule.id,
            )
            if transfer_id is not None:
                requested.append(transfer_id)
    return requested


async def _note(connection: Connection, study_id: int, note: str) -> None:
    await connection.execute(
        update(_study)
        .where(_study.c.id == study_id, _study.c.routing_note != note)
        .values(routing_note=note)
    )
