"""The languages of the pages: English stands in place, others in catalogues (gettext)."""

import re
from datetime import date
from functools import cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any

import re2
from babel import Locale
from babel.dates import format_skeleton, get_day_names
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations
from jinja2 import Environment, pass_context
from jinja2.runtime import Context
from starlette.requests import Request

CATALOGUES = Path(__file__).parent / "catalogues"
LANGUAGES = {"en": "English", "nb": "Norsk (bokmål)"}
COMPLAINTS = "complaints.po"
"""The catalogue of what services say, values and all."""
COOKIE = "sluse_language"
_VALUE = re.compile(r"%\((\w+)\)s")
_ANYTHING = re2.Options()
_ANYTHING.dot_nl = True
_SAME = {"no": "nb", "nn": "nb"}  # what browsers send of people who read bokmål


def language_of(request: Request) -> str:
    """The language for whoever sends a request: the account's, the cookie's, or the browser's."""
    person = getattr(request.state, "person", None)
    for wanted in (person and person.language, request.cookies.get(COOKIE)):
        if wanted in LANGUAGES:
            return str(wanted)
    accepted = []
    for part in request.headers.get("accept-language", "")[:500].split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            accepted.append((float(weight or 1), name.split("-")[0].lower()))
        except ValueError:
            continue
    for _, name in sorted(accepted, key=lambda one: -one[0]):
        known = _SAME.get(name, name)
        if known in LANGUAGES:
            return known
    return "en"


@cache
def texts(language: str) -> NullTranslations:
    """The catalogues of a language, one for each room of the pages; English has none."""
    found = Translations()
    for path in sorted((CATALOGUES / language).glob("*.po")) if language in LANGUAGES else ():
        with path.open("rb") as file:
            catalogue = read_po(file, locale=language)
        compiled = BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        found.merge(Translations(compiled))
    return found


def install(environment: Environment) -> None:
    """Have templates speak the language of their context's `language`."""
    environment.add_extension("jinja2.ext.i18n")
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        _gettext, _ngettext, newstyle=True
    )
    environment.filters["number"] = _number
    environment.filters["translated"] = _translated
    environment.filters["month"] = _month
    environment.filters["weekdays"] = _weekdays


@pass_context
def _gettext(context: Context, text: str) -> str:
    return texts(context.get("language", "en")).gettext(text)


@pass_context
def _ngettext(context: Context, one: str, many: str, number: int) -> str:
    return texts(context.get("language", "en")).ngettext(one, many, number)


@pass_context
def _translated(context: Context, text: str) -> str:
    """A text from elsewhere: unlike those in templates it is escaped, and its values are in it."""
    return translated(context.get("language", "en"), text)


def translated(language: str, text: str) -> str:
    """A sentence that a service has said, in another language; as it is where no catalogue has it.

    Services say plain English: that is what programs get, and what the ledger keeps. Of a sentence
    with values in it the catalogue has the template, and the values are found in the sentence. They
    stay as they are, but for those whose name ends in `in_words`, which are sentences themselves.
    """
    if not text:
        return ""
    found = texts(language).gettext(text)
    if found != text:
        return found
    for template, translation in _templates(language):
        if match := template.fullmatch(text):
            values = {
                name: translated(language, value) if name.endswith("in_words") else value
                for name, value in match.groupdict().items()
            }
            return translation % values
    return text


@cache
def _templates(language: str) -> list[tuple[Any, str]]:
    """The sentences with values of the catalogue of complaints, as patterns; the plainest first."""
    path = CATALOGUES / language / COMPLAINTS
    if language not in LANGUAGES or not path.is_file():
        return []
    with path.open("rb") as file:
        found = [one for one in read_po(file, locale=language) if "%(" in str(one.id)]
    found.sort(key=lambda one: -len(_VALUE.sub("", str(one.id))))
    # RE2 takes linear time whatever stands in the values, which are people's input.
    return [(re2.compile(_pattern(str(one.id)), _ANYTHING), str(one.string)) for one in found]


def _pattern(template: str) -> str:
    """The regular expression of what a template can say."""
    parts = _VALUE.split(template)  # text, name, text, name, …
    return "".join(
        f"(?P<{part}>.+?)" if place % 2 else re2.escape(part.replace("%%", "%"))
        for place, part in enumerate(parts)
    )


@pass_context
def _month(context: Context, day: date) -> str:
    """The month that a day is in, in words."""
    text = format_skeleton("yMMMM", day, locale=context.get("language", "en"))
    return text[:1].upper() + text[1:]


@pass_context
def _weekdays(context: Context, _: date) -> list[str]:
    """The names of the days of a week, Monday first."""
    names = get_day_names("abbreviated", locale=context.get("language", "en"))
    return [str(names[number]).strip(".") for number in range(7)]


@pass_context
def _number(context: Context, value: Any) -> str:
    return format_decimal(value, locale=Locale.parse(context.get("language", "en")))
