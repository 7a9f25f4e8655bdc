"""DIMSE messages over P-DATA: fragments in, answers out (PS3.7 section 8, PS3.8 annex E)."""

from collections.abc import Mapping
from dataclasses import dataclass

from pynetdicom.sop_class import Verification

from services.receiver.acse import Caller
from services.receiver.consumer import Intake, Refused
from services.receiver.sinks import Dropped, Kept, Sink
from shared import telemetry
from shared.dimse.messages import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    CANNOT_UNDERSTAND,
    LONGEST_COMMAND,
    PROCESSING_FAILURE,
    RESPONSE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    UNRECOGNIZED_OPERATION,
    Answer,
    Command,
    Context,
    Message,
    Service,
    response,
)
from shared.dimse.pdu import Abort, ProviderAbort, Wire, data_pdus
from shared.identity import is_usable_uid

log = telemetry.logger("receiver")

_COMMAND, _LAST = 1, 2  # message control header (PS3.8 E.2)
_MANY = 512  # parts written at once, well below IOV_MAX


@dataclass(frozen=True)
class Agreement:
    """What was negotiated."""

    caller: Caller
    contexts: Mapping[int, Context]
    longest_in: int
    """Longest P-DATA-TF PDU that we take, bytes."""
    longest_out: int
    """Longest that the peer takes; 0: no limit."""


class Dialogue:
    """The messages of one association, one after the other."""

    def __init__(
        self, wire: Wire, agreement: Agreement, intake: Intake, services: Mapping[str, Service]
    ) -> None:
        self._wire, self._agreement = wire, agreement
        self._intake, self._services = intake, services
        self.calling_aet = agreement.caller.calling_aet
        self.called_aet = agreement.caller.called_aet
        self.peer_address = agreement.caller.address
        self._context_id = 0
        self._encoded = bytearray()  # the command set so far
        self._command: Command | None = None  # complete; its data set is on its way into the sink
        self._sink: Sink = Dropped(None)
        self._parts: list[memoryview] = []  # of the data set, not yet in the sink
        wire.before_reuse = self._flush

    @property
    def at_rest(self) -> bool:
        """Whether no message is under way."""
        return self._command is None and not self._encoded

    def p_data(self, length: int) -> None:
        """Read a P-DATA-TF PDU of `length` bytes (PS3.8 9.3.5), and answer what it completes.

        Raises
        ------
        Abort
            It breaks the rules.
        Lost
            The connection is gone.
        """
        if not 6 <= length <= self._agreement.longest_in:
            raise _invalid("P-DATA-TF longer than negotiated, or empty")
        while length:
            if length < 6:
                raise _invalid("PDU does not end with a PDV")
            size, context_id, control = self._wire.pdv()
            length -= 4 + size
            if size < 2 or length < 0:
                raise _invalid("PDV of illegal length")
            self._fragment(context_id, control, size - 2)

    def send(self, context_id: int, command: bytes, data_set: bytes = b"") -> None:
        """Send a message; on the association's own thread."""
        longest = self._agreement.longest_out
        pdus = data_pdus(context_id, _COMMAND, command, longest)
        if data_set:
            pdus += data_pdus(context_id, 0, data_set, longest)
        self._wire.send(pdus)

    def is_quiet(self) -> bool:
        """Whether the peer has said nothing since the last message."""
        return self._wire.is_quiet()

    def cancel(self) -> None:
        """The association is over: what is not complete leaves nothing behind."""
        self._parts.clear()
        self._sink.cancel()

    def _fragment(self, context_id: int, control: int, size: int) -> None:
        if self.at_rest:
            if context_id not in self._agreement.contexts:
                raise _invalid("presentation context was not agreed on")
            self._context_id = context_id
        elif context_id != self._context_id:
            raise Abort("presentation context changed within a message")
        if self._command is None:
            self._command_fragment(control, size)
        else:
            self._data_fragment(self._command, control, size)

    def _command_fragment(self, control: int, size: int) -> None:
        if not control & _COMMAND:
            raise Abort("data set without a command")
        if not 0 < size <= LONGEST_COMMAND - len(self._encoded):
            raise Abort("command set of illegal length")
        self._encoded += self._wire.all(size)
        if control & _LAST:
            command = Command(bytes(self._encoded))
            self._encoded.clear()
            self._sink = self._choose(command)
            if command.has_data_set:
                self._command = command
            else:
                self._finish(command)

    def _data_fragment(self, command: Command, control: int, size: int) -> None:
        if control & _COMMAND:
            raise Abort("command where a data set was announced")
        while size:
            part = self._wire.some(size)
            self._parts.append(part)
            size -= len(part)
            if len(self._parts) >= _MANY:
                self._flush()
        if control & _LAST:
            self._flush()
            self._finish(command)

    def _flush(self) -> None:
        if self._parts:
            self._sink.write(self._parts)
            self._parts.clear()

    def _finish(self, command: Command) -> None:
        try:
            answer = self._sink.finish()
        finally:
            self._command, self._sink = None, Dropped(None)
        if answer is not None:
            self.send(self._context_id, response(command, answer), answer.data_set)

    def _choose(self, command: Command) -> Sink:
        """Where the message goes."""
        context = self._agreement.contexts[self._context_id]
        service = self._services.get(context.abstract_syntax)
        if service and (handler := service.handlers.get(command.field)):
            message = Message(self._context_id, context, command, b"")
            return Kept(service, handler, message, self)
        if command.field == C_STORE_RQ:
            return self._store(command, context, storage=service is None)
        if command.field == C_ECHO_RQ:
            known = context.abstract_syntax == Verification
            return Dropped(Answer(SUCCESS if known else SOP_CLASS_NOT_SUPPORTED))
        if command.field & RESPONSE or command.field == C_CANCEL_RQ:
            return Dropped(None)  # to nothing that we have asked or are doing
        return Dropped(Answer(UNRECOGNIZED_OPERATION))

    def _store(self, command: Command, context: Context, *, storage: bool) -> Sink:
        if not storage or context.abstract_syntax == Verification:
            return Refused(SOP_CLASS_NOT_SUPPORTED, "Not a storage context")
        if not command.has_data_set:
            return Refused(CANNOT_UNDERSTAND, "C-STORE without a data set")
        sop_class = command.uid(AFFECTED_SOP_CLASS_UID)
        if not is_usable_uid(sop_class):
            sop_class = context.abstract_syntax
        sop_instance = command.uid(AFFECTED_SOP_INSTANCE_UID)
        try:
            return self._intake.begin(sop_class, sop_instance, context.transfer_syntax)
        except Exception as error:
            log.error("image refused", association=self._intake.id, exc_info=error)
            return Refused(PROCESSING_FAILURE, "Sluse failed")


def _invalid(why: str) -> ProviderAbort:
    return ProviderAbort(why, ProviderAbort.INVALID_PARAMETER)
