"""Accepts an import: what the gate would refuse is said now, and not behind the inbox."""

from sqlalchemy import select, update

from services.api.admitting import field_errors
from services.api.imports.places import Place, patient_of, places
from services.api.imports.reviewing import found_studies
from services.api.imports.schemas import ImportAccept
from services.api.imports.service import locked, move, require
from services.api.problems import FieldError, ProblemError, rule_broken
from shared.admission import Objection, Refusal, refusals
from shared.clock import now
from shared.identity import MasterKey
from shared.importing import Kind
from shared.ledger import Connection
from shared.ledger.assigning import lock_projects
from shared.ledger.auditing import Action, audit
from shared.ledger.couplings import confusions
from shared.ledger.states import ImportState
from shared.ledger.tables import Import, ImportItem, ImportStudy, Project, core

_import, _item, _study = core(Import), core(ImportItem), core(ImportStudy)


async def accept(
    connection: Connection,
    import_id: int,
    body: ImportAccept,
    master_key: MasterKey,
    peer_address: str,
) -> None:
    """Note the wish to take the chosen studies; a problem where something stands against it.

    Parameters
    ----------
    peer_address
        Where it is accepted from.
    """
    before = await locked(connection, import_id)
    require(before.state, ImportState.REVIEW)
    found = _with_what_is_said(before, body)
    project = (await lock_projects(connection, [found.project_id]))[found.project_id]
    studies = await _chosen(connection, import_id, body.studies)
    known = await places(connection, found, studies, master_key)
    against = await _against(connection, found, project, studies, known, master_key)
    if against:
        raise ProblemError(422, "The request breaks a rule.", against)
    moment = now()
    for one in studies:
        await connection.execute(
            update(_study).where(_study.c.id == one.id).values(accepted_at=moment)
        )
    await move(
        connection,
        import_id,
        ImportState.BRINGING,
        participant=found.participant,
        event=found.event,
        site=found.site,
        confirmed=found.confirmed,
        peer_address=peer_address[:64],
    )
    await audit(
        connection,
        Action.IMPORT_ACCEPTED,
        imported=import_id,
        project=found.project_id,
        association=found.association_id,
        studies=len(studies),
    )


def _with_what_is_said(found: Import, body: ImportAccept) -> Import:
    said = {
        name: value
        for name in ("participant", "event", "site")
        if (value := getattr(body, name)) is not None
    }
    return Import.model_validate(found.model_dump() | said | {"confirmed": body.confirmed})


async def _chosen(connection: Connection, import_id: int, uids: list[str]) -> list[ImportStudy]:
    """The studies with these UIDs, each with at least one image."""
    images = await connection.scalars(
        select(_item.c.study_instance_uid)
        .where(_item.c.import_id == import_id, _item.c.kind == Kind.IMAGE)
        .distinct()
    )
    wanted, there = set(uids), set(images)
    found = [
        one
        for one in await found_studies(connection, import_id)
        if one.study_instance_uid in wanted & there
    ]
    if len(found) < len(wanted):
        raise rule_broken("studies", "Some of these studies were not found in this import.")
    return found


async def _against(
    connection: Connection,
    found: Import,
    project: Project,
    studies: list[ImportStudy],
    known: dict[str, Place],
    master_key: MasterKey,
) -> list[FieldError]:
    """What stands against the studies, each thing said once."""
    against: dict[Refusal, None] = {}
    patients = set()
    for one in studies:
        place, index = known[one.study_instance_uid], patient_of(one).index(master_key)
        if index:
            patients.add(index)
        for refusal in await _against_one(connection, found, project, one, place, index):
            against[refusal] = None
    if found.participant is not None and len(patients) > 1 and not found.confirmed:
        against[Refusal("participant", Objection.ID_IS_ANOTHERS)] = None
    return field_errors(against, project)


async def _against_one(
    connection: Connection,
    found: Import,
    project: Project,
    study: ImportStudy,
    place: Place,
    index: str,
) -> list[Refusal]:
    against = refusals(
        project, found.participant, found.event, found.site, patient_id=study.patient_id
    )
    if place.withdrawn:
        against.append(Refusal("studies", Objection.STUDY_WITHDRAWN))
    there = place.in_project
    if there is not None and (
        found.participant not in (None, there.participant)
        or (found.event, found.site) != (there.event, there.site)
    ):
        against.append(Refusal("studies", Objection.STUDY_IS_ANOTHERS))
    if found.participant is None:
        against += _against_choosing(place, index)
    elif not found.confirmed:
        participants = set(place.known_as)
        against += await confusions(connection, project, found.participant, participants, index)
    return against


def _against_choosing(place: Place, index: str) -> list[Refusal]:
    if len(place.known_as) > 1:
        return [Refusal("participant", Objection.PATIENT_IS_ANOTHER)]
    if not place.known_as and not index:
        return [Refusal("participant", Objection.PARTICIPANT_MISSING)]
    return []
