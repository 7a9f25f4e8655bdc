"""What a destination's answers mean, and that the page for administrators says the same."""

import re
from pathlib import Path

import pytest

from services.forwarder.outcome import (
    HTTP_STATUSES,
    STATUSES,
    Row,
    Verdict,
    of_http,
    of_response,
    of_status,
)
from shared.dimse import messages
from shared.dimse.messages import Command, encode
from shared.errors import Reason

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("table", "form", "width"),
    [(STATUSES, "[0-9A-F]{4}", "04X"), (HTTP_STATUSES, "[0-9]{3}", "d")],
)
def test_the_page_shows_the_tables(table: tuple[Row, ...], form: str, width: str) -> None:
    text = (ROOT / "docs/forwarding.md").read_text()
    shown = re.findall(rf"^\| ({form})(?:–({form}))? \| (\w+) \| (.+) \|$", text, re.M)
    assert shown == [
        (
            format(row.codes[0], width),
            format(row.codes[-1], width) if len(row.codes) > 1 else "",
            row.verdict,
            row.meaning or "success",
        )
        for row in table
    ]


@pytest.mark.parametrize("status", range(200, 600))
def test_every_http_status_has_a_meaning(status: int) -> None:
    answer = of_http(status)
    assert bool(answer.detail) is (status != 200)
    assert (answer.reason is None) is (answer.verdict is Verdict.DONE)
    assert (answer.verdict is Verdict.DONE) is (status in (200, 202))


@pytest.mark.parametrize("status", range(0, 0x10000, 0x80))
def test_every_status_has_a_meaning_and_only_success_says_nothing(status: int) -> None:
    answer = of_status(status)
    assert bool(answer.detail) is (status != 0)
    assert (answer.reason is None) is (answer.verdict is Verdict.DONE)


def response(status: int, tags: bytes = b"", comment: str = "") -> Command:
    elements: dict[int, int | str] = {
        messages.COMMAND_FIELD: 0x8001, messages.MESSAGE_ID_BEING_RESPONDED_TO: 7,
        messages.COMMAND_DATA_SET_TYPE: 0x0101, messages.STATUS: status,
    }  # fmt: skip
    if comment:
        elements[messages.ERROR_COMMENT] = comment
    raw = encode(elements)
    if tags:
        raw += b"\0\0\x01\x09" + len(tags).to_bytes(4, "little") + tags
    return Command(raw)


def test_offending_elements_are_kept_and_the_comment_is_not() -> None:
    answer = of_response(response(0xC000, b"\x10\0\x10\0\x20\0\x0d\0", "Hansen^Kari is no UID"))
    assert answer.reason is Reason.DESTINATION_REFUSED
    assert answer.detail == "C000 cannot understand (0010,0010) (0020,000D)"


def test_an_answer_without_status_is_none() -> None:
    raw = encode({messages.COMMAND_FIELD: 0x8001, messages.COMMAND_DATA_SET_TYPE: 0x0101})
    assert of_response(Command(raw)).verdict is Verdict.RETRY


def test_a_response_says_what_it_answers() -> None:
    assert response(0).answers() == (messages.C_STORE_RQ, 7)
    request = encode({messages.COMMAND_FIELD: 1, messages.MESSAGE_ID: 7,
                      messages.COMMAND_DATA_SET_TYPE: 1})  # fmt: skip
    assert Command(request).answers() is None
