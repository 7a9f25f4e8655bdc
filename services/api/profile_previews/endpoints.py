"""`/projects/…/previews`: what a profile would make of an image of the project."""

from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import responses
from services.api.profile_previews import service
from services.api.profile_previews.schemas import PreviewCreate, PreviewRead
from services.api.projects.endpoints import Code
from services.api.rights.deciding import PersonDep
from services.api.routes import resource

router = resource("/projects", "projects")


@router.post("/{code}/previews", status_code=202, responses=responses(404, 410, 422))
async def request_profile_preview(
    code: Code, body: PreviewCreate, person: PersonDep, runtime: RuntimeDep
) -> PreviewRead:
    """Ask what a profile makes of an image of the project, before it is used: read the answer in a
    moment. Nothing is delivered, and the project's own profile stays as it is. The preview that
    one has asked for before is deleted.
    """
    preview_id = await service.create(runtime, person, code, body)
    return await service.show(runtime, person, code, preview_id)


@router.get("/{code}/previews/{preview_id}", responses=responses(404, 422))
async def read_profile_preview(
    code: Code, preview_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> PreviewRead:
    """Read the preview that one has asked for. It shows the original's values: each reading of
    them is audited. After an hour it is gone.
    """
    return await service.show(runtime, person, code, preview_id)
