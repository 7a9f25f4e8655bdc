"""The states of deliveries and transfers, and their legal moves: the one place that knows them."""

from enum import StrEnum


class DeliveryState(StrEnum):
    """Where one instance is on its way to one project (law 2)."""

    ASSIGNED = "assigned"
    """The original waits to be de-identified."""
    ANONYMIZED = "anonymized"
    """The de-identified copy waits to be sent."""
    FORWARDED = "forwarded"
    """The destination has it."""
    HELD = "held"
    """A person must look at it before it goes on."""
    FAILED = "failed"
    """The destination refused it, or trying was given up."""
    WITHDRAWN = "withdrawn"
    """It does not go there any more: its transfer was cancelled or recalled."""


class TransferState(StrEnum):
    """How far a study is on its way to one project."""

    REQUESTED = "requested"
    """Asked for; its instances are not assigned yet."""
    RUNNING = "running"
    """Some instances are in flight."""
    VERIFYING = "verifying"
    """Every instance is delivered; the destination is asked whether it has them."""
    COMPLETE = "complete"
    """Every instance is delivered, and verified where the destination lets it be."""
    ATTENTION = "attention"
    """Nothing is in flight, but some instances are held, failed, or missing at the destination."""
    CANCELLED = "cancelled"
    """Stopped by a person; what was delivered before stays there."""
    RECALLED = "recalled"
    """Taken back by a person: what was delivered is to be deleted there."""


class Deletion(StrEnum):
    """How a destination lets a study be deleted."""

    NONE = "none"
    """By hand only."""
    OVERWRITES = "overwrites"
    """By hand; but images that come again take the place of those that are there."""
    ORTHANC = "orthanc"
    """Orthanc's REST API."""
    DICOMWEB = "dicomweb"
    """DELETE of the study's DICOMweb resource."""


class Protocol(StrEnum):
    """How images go to a destination."""

    DIMSE = "dimse"
    """C-STORE over associations."""
    DICOMWEB = "dicomweb"
    """STOW-RS over HTTP."""


class Verification(StrEnum):
    """How it is made sure that a research PACS has what it said it has taken."""

    NONE = "none"
    """Its word is enough."""
    QUERY = "query"
    """It is asked what it holds (C-FIND, QIDO-RS)."""
    COMMITMENT = "commitment"
    """It is asked to keep them for good (storage commitment), or else what it holds."""


class ProjectState(StrEnum):
    """Whether a project takes images."""

    DRAFT = "draft"
    ACTIVE = "active"
    CLOSED = "closed"


class WebhookEvent(StrEnum):
    """What other systems may be told of."""

    TRANSFER_COMPLETE = "transfer.complete"
    """A transfer has become complete."""
    TRANSFER_ATTENTION = "transfer.attention"
    """A transfer needs a person."""
    STUDY_SETTLED = "study.settled"
    """Nobody sends a study any more."""


WEBHOOK_TEST = "webhook.test"
"""What a person sends to try a webhook."""


class WebhookDeliveryState(StrEnum):
    """How far telling another system of one event is."""

    WAITING = "waiting"
    """It is told as soon as it is due."""
    DELIVERED = "delivered"
    """It has taken it."""
    GIVEN_UP = "given-up"
    """It was tried for a day, or was not to be tried again."""


class PreviewState(StrEnum):
    """How far a preview of a profile on an original is."""

    ASKED = "asked"
    """The anonymizer has not answered yet."""
    DONE = "done"
    """The copy was made; before and after can be compared."""
    HELD = "held"
    """The original would be held for a person."""
    FAILED = "failed"
    """It could not be made."""


class Keeping(StrEnum):
    """Whether a file is in the spool, as far as retention goes (docs/retention.md)."""

    HERE = "here"
    """It is in the spool."""
    LEAVING = "leaving"
    """Its time is over: it is about to be removed, or was when somebody stopped."""
    EVICTED = "evicted"
    """It was removed."""


KEEPING_MOVES: dict[Keeping, frozenset[Keeping]] = {
    Keeping.HERE: frozenset({Keeping.LEAVING}),
    # Back where something came between: a legal hold, another assignment, the same image again.
    Keeping.LEAVING: frozenset({Keeping.EVICTED, Keeping.HERE}),
    # Back when the same image arrives again, or a copy is made again.
    Keeping.EVICTED: frozenset({Keeping.HERE}),
}

IN_FLIGHT = frozenset({DeliveryState.ASSIGNED, DeliveryState.ANONYMIZED})

_D, _T = DeliveryState, TransferState

DELIVERY_MOVES: dict[DeliveryState, frozenset[DeliveryState]] = {
    _D.ASSIGNED: frozenset({_D.ANONYMIZED, _D.HELD, _D.FAILED, _D.WITHDRAWN}),
    # Back to assigned when the copy is gone from the spool: it can be made again.
    _D.ANONYMIZED: frozenset({_D.FORWARDED, _D.FAILED, _D.ASSIGNED, _D.WITHDRAWN}),
    # Back to assigned when a changed instance arrived, or a person asked for another try.
    _D.FORWARDED: frozenset({_D.ASSIGNED, _D.WITHDRAWN}),
    _D.HELD: frozenset({_D.ASSIGNED, _D.WITHDRAWN}),
    _D.FAILED: frozenset({_D.ASSIGNED, _D.WITHDRAWN}),
    _D.WITHDRAWN: frozenset(),
}

TRANSFER_MOVES: dict[TransferState, frozenset[TransferState]] = {
    _T.REQUESTED: frozenset({_T.RUNNING, _T.CANCELLED, _T.RECALLED}),
    _T.RUNNING: frozenset({_T.VERIFYING, _T.COMPLETE, _T.ATTENTION, _T.CANCELLED, _T.RECALLED}),
    # Late and changed instances reopen a transfer, and so does a retry.
    _T.VERIFYING: frozenset({_T.RUNNING, _T.COMPLETE, _T.ATTENTION, _T.RECALLED}),
    # Back to verifying when the research PACS says later that it does not keep something.
    _T.COMPLETE: frozenset({_T.RUNNING, _T.VERIFYING, _T.RECALLED}),
    # A person may have it verified again, or accept it as it is.
    _T.ATTENTION: frozenset({_T.RUNNING, _T.VERIFYING, _T.COMPLETE, _T.CANCELLED, _T.RECALLED}),
    _T.CANCELLED: frozenset({_T.RECALLED}),
    _T.RECALLED: frozenset(),
}

AT_REST = frozenset({_D.FORWARDED, _D.WITHDRAWN})
"""Deliveries that need neither original nor copy any more, unless they are started again."""

ENDED = frozenset({_T.CANCELLED, _T.RECALLED})
"""Transfers that nothing is added to any more; the study may go into the project anew."""


class RecallState(StrEnum):
    """How far the deletion of a recalled release is at its destination."""

    ASKED = "asked"
    """Sluse deletes it, or tries again to."""
    BY_HAND = "by-hand"
    """The destination takes no deletions: a person deletes, and says so."""
    DONE = "done"
    """It is gone, or was never there."""


class DeadLetterState(StrEnum):
    """What people have made of a message that nobody could handle; only an open one moves."""

    OPEN = "open"
    """Nobody has looked at it, or decided."""
    RETRIED = "retried"
    """It was sent again. If nobody can handle it still, it comes back as another dead letter."""
    DISCARDED = "discarded"
    """A person said why it is not needed."""


class CommitmentState(StrEnum):
    """How far a request for storage commitment is."""

    ASKED = "asked"
    """Not reported on yet."""
    REPORTED = "reported"
    """The sender knows which of its images are safe here."""
    UNREPORTED = "unreported"
    """The sender can't be told: it took no report for long, or nobody knows where to send it."""


class ImportState(StrEnum):
    """How far an import through the web page is."""

    UPLOADING = "uploading"
    """Files are being sent, or will be."""
    READING = "reading"
    """Sluse looks into what was sent."""
    REVIEW = "review"
    """A person looks at what was found, and accepts it or not."""
    BRINGING = "bringing"
    """Accepted; the files are on their way into the inbox."""
    ACCEPTED = "accepted"
    """The files are in the inbox, or further."""
    DISCARDED = "discarded"
    """A person did not want it, or left it lying for too long."""
    FAILED = "failed"
    """It can't be read; the log has the details."""


IMPORT_MOVES: dict[ImportState, frozenset[ImportState]] = {
    ImportState.UPLOADING: frozenset({ImportState.READING, ImportState.DISCARDED}),
    ImportState.READING: frozenset({ImportState.REVIEW, ImportState.FAILED, ImportState.DISCARDED}),
    # More may be added to what was found: what is on the second CD.
    ImportState.REVIEW: frozenset(
        {ImportState.UPLOADING, ImportState.BRINGING, ImportState.DISCARDED}
    ),
    ImportState.BRINGING: frozenset({ImportState.ACCEPTED}),
    ImportState.ACCEPTED: frozenset(),
    ImportState.DISCARDED: frozenset(),
    ImportState.FAILED: frozenset({ImportState.READING, ImportState.DISCARDED}),
}

IMPORT_ENDED = frozenset({ImportState.ACCEPTED, ImportState.DISCARDED})
"""Imports that nothing is left of on the disk."""


def import_sources_of(state: ImportState) -> list[ImportState]:
    """The states from which an import may move to `state`."""
    return [source for source, targets in IMPORT_MOVES.items() if state in targets]


def keeping_sources_of(state: Keeping) -> list[Keeping]:
    """The states from which a file may come to `state`."""
    return [source for source, targets in KEEPING_MOVES.items() if state in targets]


def sources_of(state: DeliveryState) -> list[DeliveryState]:
    """The states from which a delivery may move to `state`."""
    return [source for source, targets in DELIVERY_MOVES.items() if state in targets]


def transfer_sources_of(state: TransferState) -> list[TransferState]:
    """The states from which a transfer may move to `state`."""
    return [source for source, targets in TRANSFER_MOVES.items() if state in targets]
