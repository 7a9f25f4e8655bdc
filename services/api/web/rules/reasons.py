"""Why a rule leaves a study, in a person's language."""

import re

from markupsafe import Markup

from services.api.routing_rules.trying import GOES_FIRST, TAKEN_OUT, THERE_ALREADY
from services.api.web.languages import texts


def reason_in(language: str, reason: str) -> Markup | str:
    """Why a study is left, in a person's language, whatever names and numbers stand in it."""
    gettext = texts(language).gettext
    for words in (GOES_FIRST, TAKEN_OUT, THERE_ALREADY):
        values = _values(words, reason)
        if values is not None:
            values = {name: gettext(text) if name == "state" else text
                      for name, text in values.items()}  # fmt: skip
            return Markup(gettext(words)) % values  # noqa: S704 - the catalogue's; values are escaped
    return gettext(reason)


def _values(words: str, text: str) -> dict[str, str] | None:
    """What stands in `text` at the places of `words`; None where it is another text."""
    pattern = re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.*)", re.escape(words))
    found = re.fullmatch(pattern, text, re.DOTALL)
    return found.groupdict() if found else None
