"""DIMSE messages: command sets read and written (PS3.7 section 6.3, 9.3 and annex E)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from shared.dimse.pdu import Abort

# Command fields (PS3.7 E.1-1)
C_STORE_RQ = 0x0001
C_ECHO_RQ = 0x0030
N_EVENT_REPORT_RQ = 0x0100
N_EVENT_REPORT_RSP = 0x8100
N_ACTION_RQ = 0x0130
C_CANCEL_RQ = 0x0FFF
RESPONSE = 0x8000

# Statuses (PS3.7 annex C, PS3.4 table B.2-1)
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
NO_SUCH_SOP_INSTANCE = 0x0112
INVALID_ARGUMENT_VALUE = 0x0115
INVALID_SOP_INSTANCE = 0x0117
CLASS_INSTANCE_CONFLICT = 0x0119
NO_SUCH_ACTION = 0x0123
SOP_CLASS_NOT_SUPPORTED = 0x0122
UNRECOGNIZED_OPERATION = 0x0211
RESOURCE_LIMITATION = 0x0213
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000

# Elements (PS3.7 E.1)
AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
OFFENDING_ELEMENT = 0x0901
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ACTION_TYPE_ID = 0x1008

LONGEST_COMMAND = 1 << 16
"""Bytes of a command set; real ones have some 200."""
NO_DATA_SET = 0x0101

_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<H")
_UL = struct.Struct("<L")
_AT = struct.Struct("<HH")


class Command:
    """A command set: elements of group 0000 by their element number, values as they came."""

    def __init__(self, encoded: bytes) -> None:
        """Read a command set, Implicit VR Little Endian (PS3.7 6.3.1).

        Raises
        ------
        Abort
            It is none.
        """
        self._values: dict[int, bytes] = {}
        offset = 0
        try:
            while offset < len(encoded):
                group, element, length = _ELEMENT.unpack_from(encoded, offset)
                offset += _ELEMENT.size + length
                if group != 0 or offset > len(encoded):
                    raise Abort("not a command set")
                self._values[element] = encoded[offset - length : offset]
            self.field = self.number(COMMAND_FIELD)
            self.has_data_set = self.number(COMMAND_DATA_SET_TYPE) != NO_DATA_SET
            self.message_id = (
                0 if self.field & RESPONSE or self.field == C_CANCEL_RQ else self.number(MESSAGE_ID)
            )
        except (struct.error, KeyError):
            raise Abort("not a command set") from None

    def number(self, element: int) -> int:
        """Value of an element of VR US.

        Raises
        ------
        KeyError, struct.error
            There is none.
        """
        value: int = _US.unpack(self._values[element])[0]
        return value

    def value(self, element: int) -> int | None:
        """Value of an element of VR US, if there is one."""
        try:
            return self.number(element)
        except (KeyError, struct.error):
            return None

    def answers(self) -> tuple[int, int] | None:
        """Command field and message id of the request that this answers; None if it is none."""
        asked = self.value(MESSAGE_ID_BEING_RESPONDED_TO)
        if asked is None or not self.field & RESPONSE:
            return None
        return self.field & ~RESPONSE, asked

    def tags(self, element: int) -> list[tuple[int, int]]:
        """Values of an element of VR AT, as group and element; empty when there is none."""
        raw = self._values.get(element, b"")
        return list(_AT.iter_unpack(raw[: len(raw) // 4 * 4]))

    def uid(self, element: int) -> str:
        """Value of an element of VR UI; empty when there is none."""
        return self._values.get(element, b"").rstrip(b"\0 ").decode("latin-1")


def encode(elements: dict[int, int | str]) -> bytes:
    """A command set: numbers as US, texts padded to even length."""
    parts = []
    for element in sorted(elements):
        value = elements[element]
        if isinstance(value, int):
            raw = _US.pack(value)
        else:
            raw = value.encode("ascii", "replace")
            raw += (b" " if element == ERROR_COMMENT else b"\0") * (len(raw) % 2)
        parts.append(_ELEMENT.pack(0, element, len(raw)) + raw)
    body = b"".join(parts)
    return _ELEMENT.pack(0, 0, 4) + _UL.pack(len(body)) + body


@dataclass(frozen=True)
class Answer:
    """How a request was dealt with."""

    status: int
    comment: str = ""
    """Error Comment for the sender's log, at most 64 characters, never patient data."""
    elements: dict[int, int | str] = field(default_factory=dict)
    """Further elements of the response."""
    data_set: bytes = b""


def response(request: Command, answer: Answer) -> bytes:
    """The command set that answers `request`."""
    elements: dict[int, int | str] = {
        COMMAND_FIELD: request.field | RESPONSE,
        MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
        COMMAND_DATA_SET_TYPE: 0x0001 if answer.data_set else NO_DATA_SET,
        STATUS: answer.status,
    }
    # What a request asks of a SOP instance, its response says of the affected one.
    for requested, affected in (
        (REQUESTED_SOP_CLASS_UID, AFFECTED_SOP_CLASS_UID),
        (REQUESTED_SOP_INSTANCE_UID, AFFECTED_SOP_INSTANCE_UID),
    ):
        if uid := request.uid(affected) or request.uid(requested):
            elements[affected] = uid[:64]
    if answer.comment:
        elements[ERROR_COMMENT] = answer.comment[:64]
    return encode(elements | answer.elements)


@dataclass(frozen=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


class Channel(Protocol):
    """What a handler may do with the association, on the association's own thread only."""

    calling_aet: str
    called_aet: str
    peer_address: str

    def send(self, context_id: int, command: bytes, data_set: bytes = b"") -> None:
        """Send a message, before or instead of returning an answer."""

    def is_quiet(self) -> bool:
        """Whether the peer has said nothing since the message that is dealt with."""


class Message(NamedTuple):
    """A message of a service that is plugged in: small enough to be kept in memory."""

    context_id: int
    context: Context
    command: Command
    data_set: bytes


Handler = Callable[[Message, Channel], Answer | None]
"""Deals with a message. Its answer is sent; None: it has sent what there is to say itself."""


@dataclass(frozen=True)
class Service:
    """A DIMSE service beside storage and verification, on the same port."""

    abstract_syntax: str
    handlers: dict[int, Handler]
    """By command field; responses to what the handlers send too."""
    longest: int = 8 << 20
    """Largest data set, bytes; what is larger is answered 0x0213, resource limitation."""
