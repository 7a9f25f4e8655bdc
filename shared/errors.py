"""How a step can end: done, retry (somebody else's fault) or reject (this file's fault).

A handler that returns is *done*. Raising `Retry` or `Reject` says why it is not; any other
exception is taken for a retry, a bounded number of times, and then for a reject. A process that
can't even start raises `StartError`.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something waits, is held or has failed. The value is stored; `in_words` is shown."""

    # Somebody else's fault: tried again.
    DATABASE_AWAY = "database-away"
    BUS_AWAY = "bus-away"
    DISK_FULL = "disk-full"
    DISK_TROUBLE = "disk-trouble"
    SPOOL_FILE_MISSING = "spool-file-missing"
    DESTINATION_AWAY = "destination-away"
    DESTINATION_BUSY = "destination-busy"
    DESTINATION_CLOSED = "destination-closed"
    DESTINATION_DENIED = "destination-denied"
    COMMITMENT_PENDING = "commitment-pending"
    UNEXPECTED = "unexpected"
    # The file's own fault: held for a person.
    NOT_DICOM = "not-dicom"
    TRUNCATED = "truncated"
    MISSING_UID = "missing-uid"
    ILLEGAL_UID = "illegal-uid"
    UNREADABLE = "unreadable"
    OTHER_PATIENT = "other-patient"
    NOT_DEIDENTIFIABLE = "not-deidentifiable"
    ENGINE_CRASHED = "engine-crashed"
    # The destination said no: failed.
    NO_DESTINATION = "no-destination"
    SYNTAX_REFUSED = "syntax-refused"
    DESTINATION_REFUSED = "destination-refused"
    MISSING_THERE = "missing-there"
    ORIGINAL_EVICTED = "original-evicted"
    NOT_VERIFIABLE = "not-verifiable"
    # A message nobody can act on.
    UNKNOWN_EVENT = "unknown-event"
    DELIVERY_LIMIT = "delivery-limit"
    GAVE_UP = "gave-up"

    @property
    def in_words(self) -> str:
        """The sentence that people read, without patient data."""
        return _WORDS[self]


_WORDS = {
    Reason.DATABASE_AWAY: "The database does not answer. Sluse tries again by itself.",
    Reason.BUS_AWAY: "The message broker does not answer. Sluse tries again by itself.",
    Reason.DISK_FULL: "The disk is full. Free some space; Sluse then goes on by itself.",
    Reason.DISK_TROUBLE: "The disk reports an error. Sluse tries again by itself; have it checked.",
    Reason.SPOOL_FILE_MISSING: "The image file is not in the spool. Sluse looks again by itself.",
    Reason.DESTINATION_AWAY: "The research PACS does not answer. Sluse tries again by itself.",
    Reason.DESTINATION_BUSY: "The research PACS is out of resources. Sluse tries again by itself.",
    Reason.DESTINATION_CLOSED: "The research PACS takes images at other hours. Sluse waits "
    "for them.",
    Reason.DESTINATION_DENIED: "The research PACS does not let Sluse in. Have its credentials "
    "checked; Sluse tries again by itself.",
    Reason.COMMITMENT_PENDING: "The research PACS was asked to keep the images for good. Sluse "
    "waits for its answer.",
    Reason.UNEXPECTED: "Something unexpected went wrong. Sluse tries again by itself.",
    Reason.NOT_DICOM: "This is not a DICOM file.",
    Reason.TRUNCATED: "The image ends in the middle: part of it is missing. Send it again.",
    Reason.MISSING_UID: "The image lacks its study, series or SOP instance UID.",
    Reason.ILLEGAL_UID: "The image's study, series or SOP instance UID is not a legal DICOM UID.",
    Reason.UNREADABLE: "The image's header can't be read.",
    Reason.OTHER_PATIENT: "The image names another patient than the rest of its study. Find out "
    "whose it is, and have it sent again with the right one.",
    Reason.NOT_DEIDENTIFIABLE: "The image can't be de-identified with certainty.",
    Reason.ENGINE_CRASHED: "De-identification stopped while working on this image.",
    Reason.NO_DESTINATION: "The project has no destination. Choose one, then retry.",
    Reason.SYNTAX_REFUSED: "The research PACS does not take this kind of image or its encoding.",
    Reason.DESTINATION_REFUSED: "The research PACS refused the image.",
    Reason.MISSING_THERE: "The research PACS has said that it took these images, and does not have "
    "them. Ask its administrator, then retry.",
    Reason.ORIGINAL_EVICTED: "The research PACS does not have these images any more, and their "
    "originals were removed here in their time. Have the study sent to Sluse again, then retry.",
    Reason.NOT_VERIFIABLE: "The research PACS refuses to be asked what it has. Let Sluse query it, "
    "or choose at the destination that its word is enough.",
    Reason.UNKNOWN_EVENT: "A message of an unknown type or version arrived.",
    Reason.DELIVERY_LIMIT: "A message stopped the service that took it, again and again.",
    Reason.GAVE_UP: "Tried several times without success; the log has the details.",
}


class StepError(Exception):
    """Base of the two ways a step can fail.

    Parameters
    ----------
    reason
        What happened, from the closed list.
    detail
        Technical detail for the log and the ledger. Never patient data (law 5).
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["StepError"], tuple[Reason, str]]:
        # Raised in worker processes and read in their parent.
        return type(self), (self.reason, self.detail)


class Retry(StepError):
    """Somebody else's fault: the same work may succeed later."""


class Reject(StepError):
    """This file's fault: trying again changes nothing, a person must look."""


class StartError(Exception):
    """Sluse can't start on what it found; the text says what, and what to do about it."""
