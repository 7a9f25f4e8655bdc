"""`/projects`: the research projects."""

from typing import Annotated

from fastapi import Path

from services.api.dependencies import RuntimeDep
from services.api.fields import ProjectCode
from services.api.nudging import nudge
from services.api.problems import responses
from services.api.projects import processing, service
from services.api.projects.schemas import Estimate, ProjectChange, ProjectCreate, ProjectRead
from services.api.rights.deciding import PersonDep
from services.api.routes import resource
from services.api.transfers.following import assigned_events
from services.api.versions import IfMatch, require_version
from shared.people import Right

router = resource("/projects", "projects")

Code = Annotated[ProjectCode, Path(description="The project's code.")]


@router.get("")
async def list_projects(person: PersonDep, runtime: RuntimeDep) -> list[ProjectRead]:
    """List the projects that one works in; administrators see all."""
    async with runtime.ledger.session() as session:
        return [
            service.as_seen(person, row)
            for row in await service.every(session)
            if person.may(Right.VIEW, row.id)
        ]


@router.post("", status_code=201, responses=responses(409, 422))
async def create_project(body: ProjectCreate, runtime: RuntimeDep) -> ProjectRead:
    """Enter a project. It gets a secret key of its own, for its identifiers. It has no members yet:
    enter its owner next.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.session() as session:
        project = await service.create(session, body, master_key, runtime.settings.ae_title)
        return ProjectRead.model_validate(project)


@router.get("/{code}", responses=responses(404, 422))
async def read_project(code: Code, person: PersonDep, runtime: RuntimeDep) -> ProjectRead:
    """Read one project."""
    async with runtime.ledger.session() as session:
        return service.as_seen(person, await service.get(session, code))


@router.patch("/{code}", responses=responses(404, 409, 412, 422))
async def change_project(
    code: Code,
    body: ProjectChange,
    person: PersonDep,
    runtime: RuntimeDep,
    if_match: IfMatch = None,
) -> ProjectRead:
    """Change what is given of a project; code, number, date shift, scheme and key stay for good."""
    async with runtime.ledger.session() as session:
        project = await service.get(session, code, lock=True)
        require_version(if_match, service.as_seen(person, project))
        return service.as_seen(person, await service.change(session, project, body))


@router.get("/{code}/process-again/estimate", responses=responses(404, 422))
async def estimate_processing_again(code: Code, runtime: RuntimeDep) -> Estimate:
    """Say what processing all studies of the project again would take."""
    async with runtime.ledger.reading() as connection:
        return await processing.estimate(connection, code)


@router.post("/{code}/process-again", status_code=202, responses=responses(404, 409, 422))
async def process_project_again(code: Code, runtime: RuntimeDep) -> Estimate:
    """De-identify and deliver all studies of the project again: its profile has changed, or the
    research PACS has lost data. Images keep their released UIDs, so copies that are there are
    delivered once more, not doubled. Studies whose originals were removed are left out.
    """
    async with runtime.ledger.reading() as connection:
        expected = await processing.estimate(connection, code)
    async for assigned in processing.process_again(runtime.ledger, code, runtime.settings.patience):
        await nudge(runtime, assigned_events(assigned))
    return expected
