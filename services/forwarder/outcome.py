"""What a destination's answer means: done, retry or reject. The one table of DIMSE statuses.

`docs/forwarding.md` shows it; a test compares them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from shared.dimse import messages
from shared.dimse.messages import Command
from shared.errors import Reason

_MOST_TAGS = 8  # offending elements that are kept


class Verdict(StrEnum):
    """What becomes of an image after an answer."""

    DONE = "done"
    RETRY = "retry"
    REJECT = "reject"


@dataclass(frozen=True)
class Answer:
    """A destination's answer to one image."""

    verdict: Verdict
    reason: Reason | None = None
    detail: str = ""
    """The status and its meaning; with a warning also where the verdict is `done`."""


class Row(NamedTuple):
    """What some statuses mean. Where several rows fit, the first one counts."""

    codes: range
    verdict: Verdict
    reason: Reason | None
    meaning: str


def _one(code: int) -> range:
    return range(code, code + 1)


_DONE, _RETRY, _REJECT = Verdict.DONE, Verdict.RETRY, Verdict.REJECT
_BUSY, _REFUSED, _SYNTAX = (
    Reason.DESTINATION_BUSY, Reason.DESTINATION_REFUSED, Reason.SYNTAX_REFUSED
)  # fmt: skip

# PS3.4 table B.2-1 and PS3.7 annex C
STATUSES = (
    Row(_one(0x0000), _DONE, None, ""),
    Row(_one(0x0001), _DONE, None, "warning: some attributes unknown"),
    Row(_one(0x0105), _REJECT, _REFUSED, "no such attribute"),
    Row(_one(0x0106), _REJECT, _REFUSED, "invalid attribute value"),
    Row(_one(0x0107), _DONE, None, "warning: attribute list error"),
    Row(_one(0x0110), _RETRY, _BUSY, "processing failure"),
    Row(_one(0x0111), _DONE, None, "warning: has it already"),
    Row(_one(0x0112), _REJECT, _REFUSED, "no such SOP instance"),
    Row(_one(0x0116), _DONE, None, "warning: attribute value out of range"),
    Row(_one(0x0117), _REJECT, _REFUSED, "invalid SOP instance"),
    Row(_one(0x0118), _REJECT, _SYNTAX, "no such SOP class"),
    Row(_one(0x0119), _REJECT, _REFUSED, "class and instance do not fit"),
    Row(_one(0x0122), _REJECT, _SYNTAX, "SOP class not supported"),
    Row(_one(0x0124), _RETRY, _BUSY, "not authorized"),
    Row(_one(0x0210), _RETRY, _BUSY, "duplicate invocation"),
    Row(_one(0x0211), _REJECT, _REFUSED, "unrecognized operation"),
    Row(_one(0x0212), _REJECT, _REFUSED, "mistyped argument"),
    Row(_one(0x0213), _RETRY, _BUSY, "resource limitation"),
    Row(range(0xA700, 0xA800), _RETRY, _BUSY, "out of resources"),
    Row(range(0xA900, 0xAA00), _REJECT, _REFUSED, "data set does not match SOP class"),
    Row(_one(0xB000), _DONE, None, "warning: coercion of data elements"),
    Row(_one(0xB006), _DONE, None, "warning: elements discarded"),
    Row(_one(0xB007), _DONE, None, "warning: data set does not match SOP class"),
    Row(range(0xB000, 0xC000), _DONE, None, "warning"),
    Row(range(0xC000, 0xD000), _REJECT, _REFUSED, "cannot understand"),
)


def of_status(status: int) -> Answer:
    """The answer that a C-STORE status is."""
    row = next((row for row in STATUSES if status in row.codes), None)
    if row is None:
        return Answer(Verdict.REJECT, Reason.DESTINATION_REFUSED, f"{status:04X} unknown status")
    detail = f"{status:04X} {row.meaning}" if row.meaning else ""
    return Answer(row.verdict, row.reason, detail)


def of_response(response: Command) -> Answer:
    """The answer that a C-STORE-RSP is. Of its comment nothing is kept: it may name the patient."""
    status = response.value(messages.STATUS)
    if status is None:
        return away("an answer without status")
    answer = of_status(status)
    tags = response.tags(messages.OFFENDING_ELEMENT)[:_MOST_TAGS]
    if not tags or not answer.detail:
        return answer
    named = " ".join(f"({group:04X},{element:04X})" for group, element in tags)
    return Answer(answer.verdict, answer.reason, f"{answer.detail} {named}")


def away(detail: str) -> Answer:
    """No answer: the destination could not be reached, or broke off."""
    return Answer(Verdict.RETRY, Reason.DESTINATION_AWAY, detail)
