"""The templates of the web pages."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from babel.numbers import format_decimal
from fastapi import Request
from fastapi.templating import Jinja2Templates
from jinja2 import pass_context
from jinja2.runtime import Context

from services.api.rights.person import Person
from services.api.web.languages import LANGUAGES, install, language_of, texts
from services.api.web.rules.conditions import conditions_of
from services.api.web.rules.reasons import reason_in
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
        "back": _back(request),
        "theme": next((one for one in THEMES if request.cookies.get(THEME) == one), ""),
    }


def _back(request: Request) -> str:
    """Where the page is found again; of one that answers a form it is the page above."""
    url = request.url
    if request.method != "GET":
        return url.path.rpartition("/")[0] or "/"
    return f"{url.path}?{url.query}" if url.query else url.path


templates = Jinja2Templates(directory=HERE / "templates", context_processors=[_who])
install(templates.env)


def _local_time(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _dicom_date(text: str) -> str:
    """A DA value (PS3.5 6.2) as people write it; what is none stays as it is."""
    if len(text) == 8 and text.isascii() and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text


def _person_name(text: str) -> str:
    """A PN value (PS3.5 6.2.1) as people write it: family name, other names."""
    family, *others = text.partition("=")[0].split("^")
    given = " ".join(part for part in others if part)
    return f"{family}, {given}" if family and given else family or given


@pass_context
def _size(context: Context, octets: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}"
        octets /= 1000
    return f"{format_decimal(octets, '#,##0.0', locale=context.get('language', 'en'))} TB"


@pass_context
def _choices(context: Context, words: Mapping[Any, str]) -> list[tuple[str, str]]:
    """The values of an enumeration and what people call them, for a choice in a form."""
    language = context.get("language", "en")
    return [(one.value, texts(language).gettext(text)) for one, text in words.items()]


@pass_context
def _reason(context: Context, text: str) -> str:
    """Why a routing rule leaves a study."""
    return reason_in(context.get("language", "en"), text)


templates.env.filters["local_time"] = _local_time
templates.env.filters["dicom_date"] = _dicom_date
templates.env.filters["person_name"] = _person_name
templates.env.filters["size"] = _size
templates.env.filters["year_month"] = lambda day: f"{day:%Y-%m}"
templates.env.filters["choices"] = _choices
templates.env.filters["conditions"] = conditions_of
templates.env.filters["reason"] = _reason
templates.env.filters["pairs"] = lambda texts: [(one, one) for one in texts]
