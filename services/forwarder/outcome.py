"""What a destination's answer means: done, retry or reject. The one table of DIMSE statuses."""

from dataclasses import dataclass
from enum import StrEnum

from shared.errors import Reason


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


# PS3.4 table B.2-1 and PS3.7 annex C
_STATUSES: dict[int, tuple[Verdict, Reason | None, str]] = {
    0x0000: (Verdict.DONE, None, ""),
    0x0107: (Verdict.DONE, None, "warning: attribute list error"),
    0x0110: (Verdict.RETRY, Reason.DESTINATION_BUSY, "processing failure"),
    0x0111: (Verdict.DONE, None, "warning: has it already"),
    0x0116: (Verdict.DONE, None, "warning: attribute value out of range"),
    0x0117: (Verdict.REJECT, Reason.DESTINATION_REFUSED, "invalid SOP instance"),
    0x0118: (Verdict.REJECT, Reason.SYNTAX_REFUSED, "no such SOP class"),
    0x0122: (Verdict.REJECT, Reason.SYNTAX_REFUSED, "SOP class not supported"),
    0x0124: (Verdict.RETRY, Reason.DESTINATION_BUSY, "not authorized"),
    0x0213: (Verdict.RETRY, Reason.DESTINATION_BUSY, "resource limitation"),
    0xB000: (Verdict.DONE, None, "warning: coercion of data elements"),
    0xB006: (Verdict.DONE, None, "warning: elements discarded"),
    0xB007: (Verdict.DONE, None, "warning: data set does not match SOP class"),
}
_RANGES: tuple[tuple[range, tuple[Verdict, Reason | None, str]], ...] = (
    (range(0xA700, 0xA800), (Verdict.RETRY, Reason.DESTINATION_BUSY, "out of resources")),
    (
        range(0xA900, 0xAA00),
        (Verdict.REJECT, Reason.DESTINATION_REFUSED, "data set does not match SOP class"),
    ),
    (range(0xB000, 0xC000), (Verdict.DONE, None, "warning")),
    (range(0xC000, 0xD000), (Verdict.REJECT, Reason.DESTINATION_REFUSED, "cannot understand")),
)


def of_status(status: int) -> Answer:
    """The answer that a C-STORE status is."""
    known = _STATUSES.get(status)
    if known is None:
        unknown = (Verdict.REJECT, Reason.DESTINATION_REFUSED, "unknown status")
        known = next((row for codes, row in _RANGES if status in codes), unknown)
    verdict, reason, meaning = known
    return Answer(verdict, reason, f"{status:04X} {meaning}" if meaning else "")


def away(detail: str) -> Answer:
    """No answer: the destination could not be reached, or broke off."""
    return Answer(Verdict.RETRY, Reason.DESTINATION_AWAY, detail)
