"""Asks for an association (PS3.8 9.3.2 to 9.3.4).

pynetdicom's PDU classes write the request and read the answer; its threads are not used, since
they lose responses and cost ten times the processor (docs/decisions/0009).
"""

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

from shared.dimse.messages import (
    AFFECTED_SOP_CLASS_UID,
    C_ECHO_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    LONGEST_COMMAND,
    MESSAGE_ID,
    NO_DATA_SET,
    STATUS,
    Command,
    encode,
)
from shared.dimse.pdu import (
    Abort,
    Lost,
    PduType,
    ProviderAbort,
    Silence,
    Wire,
    abort_pdu,
    data_pdus,
    release_pdu,
)
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MAX_CONTEXTS = 128
"""Odd ids from 1 to 255 (PS3.8 9.3.2.2)."""

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
_TAKEN = 16384  # bytes of a PDU that we take: responses are small
_LONGEST_ANSWER = 1 << 20
_CONNECTING = 10.0  # seconds
_RELEASING = 5.0  # seconds
_RELEASE_RQ = bytes((PduType.A_RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0))
_VERIFICATION = "1.2.840.10008.1.1"
_IMPLICIT = "1.2.840.10008.1.2"


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


def read_response(wire: Wire) -> bytes:
    """The next command set, of a response without a data set.

    Raises
    ------
    Abort
        The peer breaks the rules.
    Lost
        It has ended the association.
    """
    command = b""
    while True:
        kind, length = wire.pdu()
        if kind == PduType.A_RELEASE_RQ:
            wire.all(min(length, 4))
            wire.send(release_pdu())
            raise Lost
        if kind == PduType.A_ABORT:
            raise Lost
        if kind != PduType.P_DATA_TF or length > LONGEST_COMMAND:
            raise ProviderAbort("the answer is no message", ProviderAbort.UNEXPECTED_PDU)
        while length > 0:
            size, _, control = wire.pdv()
            if not 2 <= size <= length - 4 or not control & 1:
                raise ProviderAbort("the answer is broken", ProviderAbort.INVALID_PARAMETER)
            command += wire.all(size - 2)
            length -= size + 4
            if control & 2:
                return command
        if len(command) > LONGEST_COMMAND:
            raise ProviderAbort("the answer never ends", ProviderAbort.INVALID_PARAMETER)


def release(wire: Wire) -> None:
    """End an association (A-RELEASE); an answer is waited for only shortly."""
    with suppress(Abort, Lost):  # gone is gone
        wire.wait_at_most(_RELEASING)
        wire.send(_RELEASE_RQ)
        wire.pdu()


def echo(
    place: tuple[str, int],
    titles: tuple[str, str],
    timeout: float,
    tls: ssl.SSLContext | None = None,
) -> int:
    """The status of a C-ECHO (PS3.7 9.1.5); the parameters are those of `open_association`.

    Raises
    ------
    NotOpenedError
        There is no association, or no answer over it.
    """
    asked = Proposal(_VERIFICATION, (_IMPLICIT,))
    opened = open_association(place, titles, [asked], timeout, tls)
    with opened.socket:
        context = opened.accepted.get(asked)
        if context is None:
            raise NotOpenedError("it does not take C-ECHO")
        command = encode(
            {
                AFFECTED_SOP_CLASS_UID: _VERIFICATION,
                COMMAND_FIELD: C_ECHO_RQ,
                MESSAGE_ID: 1,
                COMMAND_DATA_SET_TYPE: NO_DATA_SET,
            }
        )
        try:
            opened.wire.send(data_pdus(context.context_id, 1, command, opened.longest_pdu))
            status = Command(read_response(opened.wire)).value(STATUS)
        except (Abort, Lost):
            raise NotOpenedError("no answer") from None
        release(opened.wire)
    if status is None:
        raise NotOpenedError("an answer without status")
    return status


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
        wire.send(abort_pdu(Abort("the answer can't be read")))
    except Lost:
        return
