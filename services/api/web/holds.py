"""The buttons of a study's page that set and lift a legal hold."""

from fastapi import Request
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import ProblemError
from services.api.rights.deciding import PersonDep
from services.api.studies import hold_endpoints as rest
from services.api.studies.schemas import HoldSet
from services.api.web.forms import Form, entered
from services.api.web.studies import study_page


async def press_hold(
    request: Request, study_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> Response:
    """Set a hold, or say what is wrong with its reason."""
    form = Form(entered(await request.form()))
    try:
        await rest.set_hold(study_id, HoldSet.model_validate(form.values), person, runtime)
    except ValidationError as error:
        return await study_page(request, study_id, person, runtime, form.refused(error))
    return _back(study_id)


async def press_lift_hold(
    study_id: PathId, person: PersonDep, runtime: RuntimeDep
) -> RedirectResponse:
    """Lift it; where somebody has done so already, that is as well."""
    try:
        await rest.lift_hold(study_id, person, runtime)
    except ProblemError as error:
        if error.problem.status != 409:
            raise
    return _back(study_id)


def _back(study_id: int) -> RedirectResponse:
    return RedirectResponse(f"/studies/{study_id}#hold", status_code=303)
