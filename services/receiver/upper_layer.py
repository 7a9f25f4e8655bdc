"""One connection, from Sta2 to Sta1: the acceptor's half of the state machine (PS3.8 9.2).

=======  ==================================================  ======================================
Sta2     connected; the ARTIM timer runs                     until an A-ASSOCIATE-RQ is here
Sta3     asked for an association                            accepted (Sta6) or rejected (Sta13)
Sta6     messages                                            until a release, an abort, the end
Sta8     asked for the release                               answered (Sta13)
Sta13    all is said; the ARTIM timer runs                   until the peer closes the connection
Sta1     closed
=======  ==================================================  ======================================

Each state is a method that does what the state is for and returns the next one. Names of actions
(AE-6, AA-8) are those of PS3.8 tables 9-6 to 9-9.
"""

import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from services.receiver.acse import (
    DISK_LOW,
    LIMIT_EXCEEDED,
    LONGEST_REQUEST,
    TOO_MUCH_WAITS,
    Caller,
    Rejection,
    Request,
    Verdict,
    reject,
)
from services.receiver.consumer import Intake
from services.receiver.dialogue import Agreement, Dialogue
from services.receiver.limits import Limits
from shared import telemetry
from shared.dimse.messages import Service
from shared.dimse.pdu import (
    Abort,
    Lost,
    PduType,
    ProviderAbort,
    Silence,
    Wire,
    abort_pdu,
    release_pdu,
)
from shared.identity import printable_title
from shared.pressure import Because, Pressure
from shared.settings import Settings

log = telemetry.logger("receiver")

_OBJECTIONS = {None: None, Because.DISK: DISK_LOW, Because.BACKLOG: TOO_MUCH_WAITS}

State = Callable[[], "State | None"]


@dataclass(frozen=True)
class House:
    """What all connections have in common."""

    settings: Settings
    limits: Limits
    pressure: Pressure
    """Whether images are taken at present."""
    admit: Callable[[Caller], Verdict]
    """Who may associate. Asked on the association's thread."""
    refused: Callable[[Caller, Rejection], None]
    """Told of everybody who was rejected."""
    intake: Callable[[Caller], Intake]
    services: Mapping[str, Service]
    """Services beside storage and verification, by abstract syntax."""


class Connection:
    """A connection; `run` lives on a thread of its own."""

    def __init__(self, house: House, connection: socket.socket, address: str) -> None:
        self._house, self._socket, self._address = house, connection, address
        self._wire = Wire(connection, house.settings.artim_timeout)
        self._request: Request
        self._agreement: Agreement
        self._intake: Intake
        self._counted = False
        self._complete = False  # no message was cut off by the release
        self._stopping = False

    def run(self) -> None:
        """Go from state to state until the connection is closed."""
        state: State | None = self._sta2_awaiting_request
        try:
            while state is not None:
                state = state()
        except Lost:
            pass  # AA-4, AA-5: nobody to talk to
        except Exception as error:
            log.error("connection ended by an unexpected error", exc_info=error)
        finally:
            self._leave()
            with suppress(OSError):
                self._socket.close()

    def stop(self) -> None:
        """Make `run` abort the association and return soon; any thread."""
        self._stopping = True
        with suppress(OSError):
            # Wakes the reader, which can still say goodbye. Below TLS, where the peer only sees
            # the connection end: a TLS socket can't be used by two threads.
            socket.socket.shutdown(self._socket, socket.SHUT_RD)

    def _sta2_awaiting_request(self) -> State | None:
        try:
            kind, length = self._wire.pdu()
            if kind == PduType.A_ABORT:
                return None  # AA-2
            if kind != PduType.A_ASSOCIATE_RQ:
                raise Abort("not an association request")
            if length > LONGEST_REQUEST:
                raise Abort("association request too long")
            pdu = struct.pack(">BxL", kind, length) + self._wire.all(length)
            self._request = Request(pdu, self._address)
        except Silence:
            self._warn("no association request")
            return None  # AA-2: the ARTIM timer has expired
        except Abort as abort:
            return self._abort(abort)  # AA-1
        return self._sta3_deciding

    def _sta3_deciding(self) -> State | None:
        request, house = self._request, self._house
        verdict = Verdict(request.objection())
        if verdict.rejection is None:
            verdict = house.admit(request.caller)
        rejection = verdict.rejection
        if rejection is None and request.wants_more_than(house.services):
            # Reports on what was delivered come in all the same.
            rejection = _OBJECTIONS[house.pressure.against_senders()]
        if rejection is None:
            self._counted = house.limits.enter(self._address)
            rejection = None if self._counted else LIMIT_EXCEEDED
        if rejection is not None:
            telemetry.ASSOCIATIONS.labels(rejection.outcome).inc()
            house.refused(request.caller, rejection)
            self._warn(f"association rejected: {rejection.words}")
            self._wire.send(reject(rejection))  # AE-8
            return self._sta13_awaiting_close
        longest = house.settings.max_pdu
        pdu, contexts = request.accept(longest, list(house.services), identified=verdict.identified)
        self._agreement = Agreement(request.caller, contexts, longest, request.longest_pdu)
        self._wire.send(pdu)  # AE-7
        return self._sta6_data_transfer

    def _sta6_data_transfer(self) -> State | None:
        self._intake = self._house.intake(self._request.caller)
        dialogue = Dialogue(self._wire, self._agreement, self._intake, self._house.services)
        self._wire.wait_at_most(self._house.settings.network_timeout)
        released = False
        try:
            while not released:
                released = self._one_pdu(dialogue)
            self._complete = dialogue.at_rest
            return self._sta8_releasing
        except Abort as abort:
            return self._abort(abort)  # AA-8
        except Lost:
            if self._stopping:
                return self._abort(Abort("Sluse stops"))  # AA-1
            return None  # AA-4
        except Exception as error:
            log.error("association failed", association=self._intake.id, exc_info=error)
            return self._abort(Abort("unexpected error"))
        finally:
            dialogue.cancel()
            if not released:
                self._end(completed=False)

    def _one_pdu(self, dialogue: Dialogue) -> bool:
        """Deal with the next PDU of Sta6; whether it asks for the release."""
        kind, length = self._wire.pdu()
        if kind == PduType.P_DATA_TF:
            dialogue.p_data(length)
            if dialogue.at_rest:
                self._wire.rest()
            return False
        if kind not in PduType.__members__.values():
            raise ProviderAbort("unknown kind of PDU", ProviderAbort.UNRECOGNIZED_PDU)
        if kind == PduType.A_ABORT:
            raise Lost  # AA-3
        if kind != PduType.A_RELEASE_RQ:
            raise ProviderAbort("PDU out of place", ProviderAbort.UNEXPECTED_PDU)
        if length != 4:
            raise ProviderAbort("release of illegal length", ProviderAbort.INVALID_PARAMETER)
        self._wire.all(length)
        return True

    def _sta8_releasing(self) -> State | None:
        self._leave()  # who hears the answer may come again at once
        try:
            self._wire.send(release_pdu())  # AR-4
        finally:
            self._end(completed=self._complete)
        return self._sta13_awaiting_close

    def _sta13_awaiting_close(self) -> State | None:
        # Closing now could make the peer's system throw away our last PDU.
        self._leave()
        self._wire.await_end(0 if self._stopping else self._house.settings.artim_timeout)
        return None  # AR-5, AA-2

    def _abort(self, abort: Abort) -> State | None:
        self._warn("connection aborted", why=abort.why)
        self._wire.send(abort_pdu(abort))
        return self._sta13_awaiting_close

    def _end(self, *, completed: bool) -> None:
        self._leave()
        self._intake.close(completed=completed)

    def _leave(self) -> None:
        if self._counted:
            self._counted = False
            self._house.limits.leave(self._address)

    def _warn(self, what: str, **details: str) -> None:
        """Log something that an administrator may have to mend."""
        if hasattr(self, "_request"):
            caller = self._request.caller
            details["calling"] = printable_title(caller.calling_aet)
            details["called"] = printable_title(caller.called_aet)
        log.warning(what, peer=self._address, **details)
