"""The documents agree with the code."""

import re
from pathlib import Path

import pytest

from scripts.ps315_coverage import page
from shared.bus import QUEUES
from shared.errors import Reason
from shared.events import EVENTS

ROOT = Path(__file__).parents[2]
SERVICES = ("receiver", "classifier", "anonymizer", "forwarder", "api")

_ANNOUNCING = {"receiver": "receiver/announcer.py", "api": "api/dicomweb/storing.py"}
"""Where services make `instance.received` of files (`shared.announcing`)."""


def _table(service: str) -> tuple[set[str], set[str]]:
    """The events that a service's README says it consumes and publishes."""
    text = (ROOT / "services" / service / "README.md").read_text()
    row = text.split("|---|---|---|\n")[1].splitlines()[0].split("|")
    found = [set(re.findall(r"`([a-z]+\.[a-z]+)`", cell)) for cell in row[1:3]]
    return found[0], found[1]


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_of_messages_names_what_the_service_consumes(service: str) -> None:
    consumed = {event.type for q in QUEUES if q.service == service for event in q.events}
    assert _table(service)[0] == consumed


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_of_messages_names_what_the_service_publishes(service: str) -> None:
    classes = {kind.__name__: name for name, kind in EVENTS.items()}
    published = set()
    for path in (ROOT / "services" / service).rglob("*.py"):
        if path.name in ("reconciler.py", "service.py"):
            continue  # repeats what others publish; reads
        text = path.read_text()
        for name, event in classes.items():
            made = rf"(?<!kind: type\[)\b{name}\(|announce\(outcome, {name}\b|\.event\({name}\)"
            if re.search(made, text):
                published.add(event)
    if place := _ANNOUNCING.get(service):
        assert "received_events" in (ROOT / "services" / place).read_text()
        published.add("instance.received")
    assert _table(service)[1] == published


def test_the_coverage_page_is_what_the_engine_does() -> None:
    assert (ROOT / "docs/ps315-coverage.md").read_text() == page(), "run scripts.ps315_coverage"


def test_every_link_leads_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/*/README.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    listed = set(re.findall(r"\((\d{4}-[^)]+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.glob("0*.md")}


def test_make_targets_that_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        assert set(re.findall(r"^make ([a-z-]+)", document.read_text(), re.MULTILINE)) <= targets


def test_nothing_committed_names_an_index_or_a_path_of_a_machine() -> None:
    for path in [*ROOT.glob("requirements/*"), ROOT / "pyproject.toml", ROOT / "Makefile"]:
        text = path.read_text()
        assert "http" not in re.sub(r"\bhttp(x|core|lib)\b", "", text), path.name
        assert "--index" not in text and "/work/" not in text and "/root/" not in text


def test_reasons_in_words_carry_no_placeholders() -> None:
    assert not [reason for reason in Reason if "{" in reason.in_words]
