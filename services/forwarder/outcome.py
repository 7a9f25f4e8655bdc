"""What a destination's answer means: done, retry or reject. The one place for all statuses.

`docs/forwarding.md` shows the tables; a test compares them.
"""

from collections.abc import Sequence
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
_AWAY, _DENIED = Reason.DESTINATION_AWAY, Reason.DESTINATION_DENIED

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
    Row(_one(0xC122), _REJECT, _SYNTAX, "transfer syntax not supported"),  # PS3.18 I.2.2
    Row(range(0xC000, 0xD000), _REJECT, _REFUSED, "cannot understand"),
)

# STOW-RS: PS3.18 table 10.5.3-1, RFC 9110. With 200, 202 and 409 the answer names the images.
HTTP_STATUSES = (
    Row(_one(200), _DONE, None, ""),
    Row(_one(202), _DONE, None, "warning"),
    Row(range(200, 300), _RETRY, _AWAY, "not an answer to STOW-RS"),
    Row(range(300, 400), _RETRY, _AWAY, "the service is at another address"),
    Row(_one(401), _RETRY, _DENIED, "not signed in"),
    Row(_one(403), _RETRY, _DENIED, "not allowed"),
    Row(range(404, 406), _RETRY, _AWAY, "no STOW-RS at this address"),
    Row(_one(407), _RETRY, _DENIED, "a proxy wants a password"),
    Row(_one(408), _RETRY, _AWAY, "took too long"),
    Row(_one(409), _REJECT, _REFUSED, "not stored"),
    Row(_one(410), _RETRY, _AWAY, "no STOW-RS at this address"),
    Row(_one(413), _REJECT, _REFUSED, "too large"),
    Row(_one(415), _REJECT, _SYNTAX, "media type or transfer syntax not supported"),
    Row(_one(429), _RETRY, _BUSY, "too many requests"),
    Row(range(400, 500), _REJECT, _REFUSED, "bad request"),
    Row(_one(500), _RETRY, _BUSY, "server error"),
    Row(_one(507), _RETRY, _BUSY, "out of space"),
    Row(range(500, 600), _RETRY, _AWAY, "not available"),
)


def of_status(status: int) -> Answer:
    """The answer that a C-STORE status is, or a failure reason of STOW-RS (PS3.18 I.2.2)."""
    return _look_up(STATUSES, status, f"{status:04X}")


def of_http(status: int) -> Answer:
    """The answer to a whole request that an HTTP status is."""
    return _look_up(HTTP_STATUSES, status, f"HTTP {status}")


def _look_up(table: Sequence[Row], status: int, named: str) -> Answer:
    row = next((row for row in table if status in row.codes), None)
    if row is None:
        return Answer(Verdict.REJECT, Reason.DESTINATION_REFUSED, f"{named} unknown status")
    return Answer(row.verdict, row.reason, f"{named} {row.meaning}" if row.meaning else "")


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
