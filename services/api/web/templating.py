"""The templates of the web pages."""

from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.templating import Jinja2Templates

from services.api.rights.person import Person
from services.api.web.languages import LANGUAGES, install, language_of
from shared.people import Right

HERE = Path(__file__).parent
THEME = "sluse_theme"
"""The cookie that says whether pages are light or dark; without it they are as the system is."""
THEMES = ("light", "dark")


def _who(request: Request) -> dict[str, Any]:
    """Who sees the page, and what its forms must send back (`services.api.rights.deciding`)."""
    person: Person | None = getattr(request.state, "person", None)
    signer, token = request.app.state.signer, ""
    if person is not None and person.by_cookie and signer is not None:
        token = signer.form_token(signer.secret_of(request) or "")
    return {
        "person": person,
        "form_token": token,
        "Right": Right,
        "language": language_of(request),
        "languages": LANGUAGES,
        "theme": next((one for one in THEMES if request.cookies.get(THEME) == one), ""),
    }


templates = Jinja2Templates(directory=HERE / "templates", context_processors=[_who])
install(templates.env)


def _local_time(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


templates.env.filters["local_time"] = _local_time
