"""`/studies/…/hold`: legal holds."""

from fastapi import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import responses
from services.api.rights.deciding import PersonDep
from services.api.routes import resource
from services.api.studies import holds
from services.api.studies.schemas import Hold, HoldSet

router = resource("/studies/{study_id}/hold", "studies")


@router.get("", responses=responses(404, 422))
async def read_hold(study_id: PathId, person: PersonDep, runtime: RuntimeDep) -> Hold:
    """Read the legal hold of a study; 404 where there is none."""
    async with runtime.ledger.reading() as connection:
        await holds.require_may_hold(person, connection, runtime, study_id)
        return await holds.read(connection, study_id)


@router.put("", responses=responses(404, 422))
async def set_hold(study_id: PathId, body: HoldSet, person: PersonDep, runtime: RuntimeDep) -> Hold:
    """Put a study under a legal hold, or give the one that is there another reason. None of its
    files is removed until it is lifted.
    """
    async with runtime.ledger.transaction() as connection:
        await holds.require_may_hold(person, connection, runtime, study_id)
        return await holds.put(connection, study_id, body, person.actor)


@router.delete("", status_code=204, responses=responses(404, 409, 422))
async def lift_hold(study_id: PathId, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Lift the legal hold of a study: its files have their time again, and may be over it."""
    async with runtime.ledger.transaction() as connection:
        await holds.require_may_hold(person, connection, runtime, study_id)
        await holds.lift(connection, study_id)
    return Response(status_code=204)
