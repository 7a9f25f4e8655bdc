"""Asks for an association (PS3.8 9.3.2 to 9.3.4).

pynetdicom's PDU classes write the request and read the answer; its threads are not used, since
they lose responses and cost ten times the processor (docs/decisions/0009).
"""

import socket
import ssl
from collections.abc import Sequence
from typing import Any, NamedTuple

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

from shared.dimse.pdu import Abort as WireAbort
from shared.dimse.pdu import Lost, PduType, Silence, Wire, abort_pdu
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MAX_CONTEXTS = 128
"""Odd ids from 1 to 255 (PS3.8 9.3.2.2)."""

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
_TAKEN = 16384  # bytes of a PDU that we take: responses are small
_LONGEST_ANSWER = 1 << 20
_CONNECTING = 10.0  # seconds


class Proposal(NamedTuple):
    """A presentation context: what is to be sent, in one of these transfer syntaxes."""

    sop_class: str
    syntaxes: tuple[str, ...]


class Accepted(NamedTuple):
    """A presentation context that the peer takes."""

    context_id: int
    syntax: str


class Opened(NamedTuple):
    """An open association."""

    wire: Wire
    socket: socket.socket
    accepted: dict[Proposal, Accepted]
    longest_pdu: int
    """Longest P-DATA-TF PDU that the peer takes; 0: no limit."""


class NotOpenedError(Exception):
    """There is no association; the text says why, without patient data."""


def open_association(
    place: tuple[str, int],
    titles: tuple[str, str],
    proposals: Sequence[Proposal],
    timeout: float,
    tls: ssl.SSLContext | None = None,
) -> Opened:
    """Connect, and ask for an association.

    Parameters
    ----------
    place
        Host and port.
    titles
        The calling and the called AE title.
    proposals
        At most `MAX_CONTEXTS`.
    timeout
        Seconds, for each answer.

    Raises
    ------
    NotOpenedError
        Nobody listens, or the peer does not want it.
    """
    connection = _connect(place, timeout, tls)
    wire = Wire(connection, timeout)
    try:
        wire.send(_request(titles, proposals))
        kind, length = wire.pdu()
        if length > _LONGEST_ANSWER:
            raise NotOpenedError("the answer is no association")
        head = bytes((kind, 0)) + length.to_bytes(4, "big")
        answer = head + wire.all(length)
    except (Lost, Silence):
        connection.close()
        raise NotOpenedError("no association: the connection broke off") from None
    except BaseException:
        connection.close()
        raise
    try:
        accepted, longest = _read(kind, answer, proposals)
    except NotOpenedError:
        if kind == PduType.A_ASSOCIATE_AC:
            _give_up(wire)
        connection.close()
        raise
    return Opened(wire, connection, accepted, longest)


def _connect(place: tuple[str, int], timeout: float, tls: ssl.SSLContext | None) -> socket.socket:
    try:
        connection = socket.create_connection(place, min(timeout, _CONNECTING))
    except OSError as error:
        raise NotOpenedError(f"no connection: {error.strerror or type(error).__name__}") from None
    # The last, short PDU of an image must not wait for an acknowledgement (Nagle).
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return connection
    try:
        return tls.wrap_socket(connection, server_hostname=place[0])
    except OSError as error:
        connection.close()
        why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise NotOpenedError(f"TLS failed: {why or 'no answer'}") from None


def _request(titles: tuple[str, str], proposals: Sequence[Proposal]) -> bytes:
    asked = A_ASSOCIATE()
    asked.application_context_name = _APPLICATION_CONTEXT
    asked.calling_ae_title, asked.called_ae_title = titles
    asked.presentation_context_definition_list = [
        _context(number, one) for number, one in enumerate(proposals)
    ]
    length = MaximumLengthNotification()
    length.maximum_length_received = _TAKEN
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    asked.user_information = [length, implementation, version]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(asked)
    encoded: bytes = pdu.encode()
    return encoded


def _context(number: int, proposal: Proposal) -> PresentationContext:
    made = PresentationContext()
    made.context_id = 2 * number + 1
    made.abstract_syntax = proposal.sop_class
    made.transfer_syntax = list(proposal.syntaxes)
    return made


def _read(
    kind: int, answer: bytes, proposals: Sequence[Proposal]
) -> tuple[dict[Proposal, Accepted], int]:
    """The contexts that were accepted, and the longest PDU that the peer takes."""
    try:
        if kind == PduType.A_ASSOCIATE_RJ:
            rejection = A_ASSOCIATE_RJ()
            rejection.decode(answer)
            raise NotOpenedError(f"association rejected: {rejection.reason_str}")
        if kind == PduType.A_ABORT:
            raise NotOpenedError("no association: the destination aborted it")
        if kind != PduType.A_ASSOCIATE_AC:
            raise NotOpenedError("the answer is no association")
        decoded = A_ASSOCIATE_AC()
        decoded.decode(answer)
        primitive: Any = decoded.to_primitive()
        accepted = {
            proposals[one.context_id // 2]: Accepted(one.context_id, str(one.transfer_syntax[0]))
            for one in primitive.presentation_context_definition_results_list
            if one.result == 0 and one.context_id % 2 and one.context_id // 2 < len(proposals)
        }
        longest = next(
            (
                item.maximum_length_received
                for item in primitive.user_information
                if isinstance(item, MaximumLengthNotification)
            ),
            0,
        )
    except NotOpenedError:
        raise
    except Exception:  # whatever a decoder meets in garbage
        raise NotOpenedError("the answer is no association") from None
    return accepted, longest


def _give_up(wire: Wire) -> None:
    try:
        wire.send(abort_pdu(WireAbort("the answer can't be read")))
    except Lost:
        return
