"""Puts the web pages into the application."""

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from services.api.rights.deciding import SignInError
from services.api.web.administration.pages import BUTTONS as ADMINISTRATION_BUTTONS
from services.api.web.administration.pages import PAGES as ADMINISTRATION_PAGES
from services.api.web.assigning import (
    assign_studies,
    check_place,
    choose_place,
    show_assigned,
    suggest_participants,
    undo_assignment,
)
from services.api.web.holds import press_hold, press_lift_hold
from services.api.web.importing import (
    enter_import,
    press_accept_import,
    press_discard,
    press_finish,
    show_import,
    show_imports,
    show_items,
)
from services.api.web.live import live
from services.api.web.overview import overview
from services.api.web.profile.pages import BUTTONS as PROFILE_BUTTONS
from services.api.web.profile.pages import PAGES as PROFILE_PAGES
from services.api.web.projects.pages import BUTTONS as PROJECT_BUTTONS
from services.api.web.projects.pages import PAGES as PROJECT_PAGES
from services.api.web.rules.pages import BUTTONS as RULE_BUTTONS
from services.api.web.rules.pages import PAGES as RULE_PAGES
from services.api.web.sign_in import (
    choose_look,
    create_first_account,
    show_first_account,
    show_sign_in,
    sign_in,
    sign_out,
)
from services.api.web.sign_in_elsewhere import come_back_signed_in, leave_to_sign_in
from services.api.web.studies import find_studies, show_studies, show_study, show_unassigned
from services.api.web.templating import HERE
from services.api.web.transfers import (
    press_accept,
    press_cancel,
    press_correct,
    press_deleted,
    press_recall,
    press_retry,
    show_deliveries,
    show_transfer,
    show_transfers,
)
from services.api.web.webhooks.pages import BUTTONS as WEBHOOK_BUTTONS
from services.api.web.webhooks.pages import PAGES as WEBHOOK_PAGES

_PAGES = (
    ("/", overview), ("/live", live),
    ("/assign", show_unassigned), ("/assign/choose", choose_place),
    ("/assign/done", show_assigned), ("/assign/participants", suggest_participants),
    ("/studies", show_studies), ("/studies/{study_id}", show_study),
    ("/transfers", show_transfers), ("/transfers/{transfer_id}", show_transfer),
    ("/transfers/{transfer_id}/images", show_deliveries),
    ("/import", show_imports), ("/import/{import_id}", show_import),
    ("/import/{import_id}/items", show_items),
    ("/sign-in", show_sign_in),
    ("/first-account", show_first_account), ("/sign-in/elsewhere", leave_to_sign_in),
    ("/sign-in/done", come_back_signed_in), *PROJECT_PAGES, *PROFILE_PAGES, *RULE_PAGES,
    *ADMINISTRATION_PAGES, *WEBHOOK_PAGES,
)  # fmt: skip
_BUTTONS = (
    ("/assign", assign_studies), ("/assign/check", check_place),
    ("/studies/find", find_studies), ("/studies/{study_id}/hold", press_hold),
    ("/studies/{study_id}/hold/lift", press_lift_hold),
    ("/transfers/{transfer_id}/undo", undo_assignment),
    ("/transfers/{transfer_id}/retry", press_retry),
    ("/transfers/{transfer_id}/accept", press_accept),
    ("/transfers/{transfer_id}/cancel", press_cancel),
    ("/transfers/{transfer_id}/recall", press_recall),
    ("/transfers/{transfer_id}/correct", press_correct),
    ("/recalls/{recall_id}/deleted", press_deleted),
    ("/import", enter_import), ("/import/{import_id}/finish", press_finish),
    ("/import/{import_id}/discard", press_discard),
    ("/import/{import_id}/accept", press_accept_import),
    ("/sign-in", sign_in), ("/sign-out", sign_out),
    ("/first-account", create_first_account), ("/look", choose_look),
    *PROJECT_BUTTONS, *PROFILE_BUTTONS, *RULE_BUTTONS, *ADMINISTRATION_BUTTONS,
    *WEBHOOK_BUTTONS,
)  # fmt: skip


def install(app: FastAPI) -> None:
    """Add the pages and their files to `app`."""
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    for path, page in _PAGES:
        app.add_api_route(
            path, page, include_in_schema=False, response_class=HTMLResponse, methods=["GET"]
        )
    for path, press in _BUTTONS:
        app.add_api_route(
            path, press, include_in_schema=False, response_class=RedirectResponse, methods=["POST"]
        )

    async def on_sign_in(_: Request, error: Exception) -> RedirectResponse:
        assert isinstance(error, SignInError)
        return RedirectResponse(f"/sign-in?next={error.target}", status_code=303)

    app.add_exception_handler(SignInError, on_sign_in)
