"""Requests for storage commitment, and reports on them, as data sets (PS3.4 J.3.2, J.3.3)."""

from collections.abc import Sequence
from io import BytesIO

from pydicom import Dataset
from pydicom import Sequence as Items
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dsutils import decode, encode

from shared.dimse import messages
from shared.dimse.commitment import PUSH_MODEL_INSTANCE, REQUEST
from shared.dimse.messages import Answer, Channel, Message
from shared.identity import is_usable_uid
from shared.ledger.committing import Asked

_MOST = 50_000  # images of one request


def told(transaction_uid: str, items: Sequence[Sequence[str]], failed: dict[str, int]) -> Dataset:
    """Event Information: what is safe and what is not (PS3.4 table J.3-2)."""
    said = Dataset()
    said.TransactionUID = transaction_uid
    safe = [_reference(sop_class, uid) for sop_class, uid in items if uid not in failed]
    if safe:
        said.ReferencedSOPSequence = Items(safe)
    lost = [_reference(sop_class, uid, failed[uid]) for sop_class, uid in items if uid in failed]
    if lost:
        said.FailedSOPSequence = Items(lost)
    return said


def _reference(sop_class: str, sop_instance: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    if reason is not None:
        item.FailureReason = reason
    return item


def objection(message: Message) -> Answer | None:
    """What stands against a request, by its command."""
    command = message.command
    if command.uid(messages.REQUESTED_SOP_INSTANCE_UID) != PUSH_MODEL_INSTANCE:
        return Answer(messages.NO_SUCH_SOP_INSTANCE)
    if command.value(messages.ACTION_TYPE_ID) != REQUEST:
        return Answer(messages.NO_SUCH_ACTION)
    return None


def read(message: Message, channel: Channel) -> Asked:
    """The request; a ValueError with words for the sender's log when it can't be."""
    try:
        said = decode(BytesIO(message.data_set), _is_implicit(message), True)
        transaction = str(said.TransactionUID)
        items = [
            [str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID)]
            for one in said.ReferencedSOPSequence
        ]
    except Exception:  # whatever a reader meets in garbage
        raise ValueError("the request can't be read") from None
    if not items or len(items) > _MOST:
        raise ValueError(f"1 to {_MOST} images, please")
    if not all(map(is_usable_uid, [transaction, *(uid for item in items for uid in item)])):
        raise ValueError("not a UID")
    return Asked(transaction, channel.calling_aet, channel.called_aet, channel.peer_address, items)


def encoded(said: Dataset, message: Message) -> bytes:
    """A data set in the transfer syntax that `message` came in."""
    return encode(said, _is_implicit(message), True) or b""


def _is_implicit(message: Message) -> bool:
    return message.context.transfer_syntax == ImplicitVRLittleEndian
