"""The page of groups: what members of a group in the directory may do."""

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.responses import Response

from services.api.accounts import endpoints as rest
from services.api.accounts.groups import distinguished
from services.api.accounts.schemas import GroupRoleCreate
from services.api.dependencies import PathId, RuntimeDep
from services.api.problems import ProblemError
from services.api.rights.deciding import PersonDep
from services.api.rights.person import Person
from services.api.web.forms import Form, entered
from services.api.web.projects.show import Said
from services.api.web.studies import projects_of
from services.api.web.templating import templates
from shared.people import Right, Role
from shared.runtime import Runtime


async def show_groups(
    request: Request, person: PersonDep, runtime: RuntimeDep, done: Said = ""
) -> HTMLResponse:
    """What groups may do, and a form for one more."""
    return await _page(request, person, runtime, Form({"role": Role.VIEWER.value}), done)


async def enter_group(request: Request, person: PersonDep, runtime: RuntimeDep) -> Response:
    """Give a group a role."""
    values = entered(await request.form())
    try:
        body = GroupRoleCreate.model_validate(values | {"project": values.get("project") or None})
        await rest.create_group_role(body, runtime)
    except (ProblemError, ValidationError) as error:
        return await _page(request, person, runtime, Form(values).refused(error))
    return RedirectResponse("/administration/groups?done=saved", status_code=303)


async def drop_group(group_role_id: PathId, runtime: RuntimeDep) -> RedirectResponse:
    """Take a role from a group."""
    await rest.delete_group_role(group_role_id, runtime)
    return RedirectResponse("/administration/groups?done=removed", status_code=303)


async def _page(
    request: Request, person: Person, runtime: Runtime, form: Form, done: str = ""
) -> HTMLResponse:
    settings = runtime.settings
    found = await rest.list_group_roles(runtime)
    context = {
        "groups": found,
        "whole": {one.id for one in found if distinguished(one.group_name)},
        "form": form,
        "projects": await projects_of(person, runtime, Right.VIEW),
        "directory": settings.ldap_url,
        "base": settings.ldap_groups,
        "provider": settings.oidc_issuer,
        "hours": settings.group_roles_hours,
        "done": done,
    }
    return templates.TemplateResponse(
        request, "administration/groups.html", context, status_code=422 if form.title else 200
    )
