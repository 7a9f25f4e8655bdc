"""The pages' languages: catalogues have every text, and texts from elsewhere stay harmless."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import DictLoader, Environment, select_autoescape
from starlette.requests import Request

from services.api.web.languages import CATALOGUES, LANGUAGES, install, language_of, texts
from services.api.web.words import from_elsewhere
from tests.complaints import complaints

TEMPLATES = CATALOGUES.parent / "templates"
OTHERS = sorted(set(LANGUAGES) - {"en"})
_PLACES = re.compile(r"%\(\w+\)s|<[^>]+>")


def in_templates() -> set[str | tuple[str, ...]]:
    """The texts in the templates."""
    found = extract_from_dir(
        TEMPLATES,
        method_map=[("**.html", "jinja2.ext:babel_extract")],
        options_map={"**.html": {"trimmed": "true"}},
    )
    return {text for _, _, text, _, _ in found}


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_every_text_and_no_other(language: str) -> None:
    found = []
    for path in (CATALOGUES / language).glob("*.po"):
        with path.open("rb") as file:
            found += [one for one in read_po(file, locale=language) if one.id]
    messages = {one.id: one for one in found}
    assert len(messages) == len(found), "a text is in two catalogues"
    assert set(messages) == in_templates() | from_elsewhere() | complaints()
    for text, message in messages.items():
        assert not message.fuzzy, text
        originals = text if isinstance(text, tuple) else (text,)
        translations = message.string if isinstance(text, tuple) else (message.string,)
        for one in translations:
            assert one, text
            assert sorted(_PLACES.findall(one)) == sorted(_PLACES.findall(originals[-1])), text


def test_no_template_has_text_outside_the_catalogues() -> None:
    """What stands between tags, besides what is the same in every language."""
    same = {"Sluse", "TLS", "·", "–", ":", ",", "."}
    for path in TEMPLATES.rglob("*.html"):
        text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.S)
        text = re.sub(r"\{%\s*trans.*?endtrans\s*%\}", "", text, flags=re.S)
        text = re.sub(r'aria-(?!label)\w+="[^"]*"', " ", text)
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", text, flags=re.S)
        assert set(text.split()) <= same, path.name


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    ("headers", "language"),
    [({}, "en"), ({"accept_language": "nb-NO,nb;q=0.9,en;q=0.8"}, "nb"),
     ({"accept_language": "en-GB,nb;q=0.9"}, "en"), ({"accept_language": "de,no;q=0.5"}, "nb"),
     ({"accept_language": "nn"}, "nb"), ({"accept_language": "de"}, "en"),
     ({"accept_language": "nb;q=x, ;;;, *"}, "en"),
     ({"accept_language": "en", "cookie": "sluse_language=nb"}, "nb"),
     ({"accept_language": "nb", "cookie": "sluse_language=../etc"}, "nb")],
)  # fmt: skip
def test_the_language_is_the_persons(headers: dict[str, str], language: str) -> None:
    assert language_of(request(**headers)) == language


def test_a_language_that_is_none_is_english() -> None:
    assert texts("../../etc/passwd").gettext("Overview") == "Overview"


def rendered(template: str, language: str = "nb", **context: object) -> str:
    environment = Environment(
        loader=DictLoader({"t.html": template}), autoescape=select_autoescape()
    )
    install(environment)
    return environment.get_template("t.html").render(language=language, **context)


def test_what_comes_from_elsewhere_is_escaped() -> None:
    evil = "<b>100 %</b> %(x)s"
    assert rendered("{{ text | translated }}", text=evil) == "&lt;b&gt;100 %&lt;/b&gt; %(x)s"
    shown = rendered("{% trans number=evil %}Study {{ number }}{% endtrans %}", evil="<i>")
    assert shown == "Undersøkelse &lt;i&gt;"
    assert rendered('{{ _("sent to %(title)s", title=evil) }}', evil="<i>") == "sendt til &lt;i&gt;"


def test_numbers_are_written_as_people_write_them() -> None:
    assert rendered("{{ 1234567 | number }}", "en") == "1,234,567"
    assert rendered("{{ 1234567 | number }}") == "1\u00a0234\u00a0567"


def test_no_dynamic_text_is_taken_for_a_template() -> None:
    """`_()` takes what it is given for HTML that is safe: it is for texts in templates only."""
    for path in TEMPLATES.rglob("*.html"):
        assert re.findall(r"\b_\((?!\")", path.read_text()) == [], path.name


def test_the_catalogues_are_where_packages_find_them() -> None:
    assert all((CATALOGUES / one / "general.po").is_file() for one in OTHERS)
    assert isinstance(CATALOGUES, Path)
