"""Negotiating an association (PS3.8 9.3.2 to 9.3.4, PS3.7 annex D).

pynetdicom's PDU classes read the request and write the answer, and its functions match the
presentation contexts; its threads are not used: see docs/decisions/0009.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context, negotiate_unrestricted
from pynetdicom.sop_class import Verification

from shared.dimse.messages import Context
from shared.dimse.pdu import Abort
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

LONGEST_REQUEST = 1 << 20
"""Bytes of an A-ASSOCIATE-RQ PDU; 128 contexts of 40 transfer syntaxes each take a third."""

_SHORTEST_PDU = 64  # what a sender must take for us to answer in a sane number of PDUs
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
_LEGIBLE = bytes(one if 0x20 <= one < 0x7F and one != ord("\\") else ord("?") for one in range(256))
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


@dataclass(frozen=True)
class Identity:
    """User identity that the sender claims (PS3.7 D.3.3.7)."""

    kind: int
    """1 user name, 2 user name and passcode, 3 Kerberos, 4 SAML, 5 JSON Web Token."""
    primary: bytes
    secondary: bytes
    answer_wanted: bool

    def __repr__(self) -> str:
        return f"Identity(kind={self.kind})"  # never a password in a log


@dataclass(frozen=True)
class Caller:
    """Who asks for an association."""

    calling_aet: str
    called_aet: str
    address: str
    identity: Identity | None = None


@dataclass(frozen=True)
class Rejection:
    """Why there is none (PS3.8 table 9-21)."""

    outcome: str
    """Label of the metric."""
    words: str
    """For the log."""
    result: int  # 1 permanent, 2 transient
    source: int
    reason: int


BAD_REQUEST = Rejection("bad-request", "the request can't be met", 1, 1, 1)
UNKNOWN_PROTOCOL = Rejection("unknown-protocol-version", "protocol version not supported", 1, 2, 2)
UNKNOWN_APPLICATION = Rejection(
    "unknown-application-context", "application context not supported", 1, 1, 2
)
UNKNOWN_CALLED_AET = Rejection("unknown-called-aet", "called AE title not recognised", 1, 1, 7)
UNKNOWN_CALLING_AET = Rejection("unknown-calling-aet", "calling AE title not recognised", 1, 1, 3)
# PS3.8 has no reason of its own for it.
NOT_IDENTIFIED = Rejection("not-identified", "user identity not accepted", 1, 1, 1)
LIMIT_EXCEEDED = Rejection("local-limit-exceeded", "local limit exceeded", 2, 3, 2)

DISK_LOW = Rejection("disk-full", "the disk is nearly full", 2, 3, 2)
TOO_MUCH_WAITS = Rejection("backlog", "too many images wait to be worked off", 2, 3, 1)


class Verdict(NamedTuple):
    """What the door says of a caller."""

    rejection: Rejection | None = None
    """None: come in."""
    identified: bool = False
    """The user identity was checked and is right."""


class Request:
    """An A-ASSOCIATE-RQ PDU.

    Raises
    ------
    Abort
        It can't be read.
    """

    def __init__(self, pdu: bytes, address: str) -> None:
        try:
            decoded = A_ASSOCIATE_RQ()
            decoded.decode(pdu[:10] + _title(pdu[10:26]) + _title(pdu[26:42]) + pdu[42:])
            self._primitive: Any = decoded.to_primitive()
            self._version: int = decoded.protocol_version
            self._items: list[Any] = self._primitive.user_information
            self.contexts: list[Any] = self._primitive.presentation_context_definition_list
            identity = self._item(UserIdentityNegotiation)
            self.caller = Caller(
                self._primitive.calling_ae_title.strip(),
                self._primitive.called_ae_title.strip(),
                address,
                _identity(identity) if identity else None,
            )
        except Exception:  # whatever a decoder meets in garbage
            raise Abort("association request can't be read") from None

    def wants_more_than(self, services: Collection[str]) -> bool:
        """Whether it proposes a SOP class besides verification and `services`: it may store."""
        harmless = {str(Verification), *services}
        return any(str(one.abstract_syntax) not in harmless for one in self.contexts)

    @property
    def longest_pdu(self) -> int:
        """Longest P-DATA-TF PDU that the sender takes; 0: no limit."""
        item = self._item(MaximumLengthNotification)
        length: int = item.maximum_length_received if item else 0
        return length

    def objection(self) -> Rejection | None:
        """What the standard has against the request."""
        if not self._version & 1:  # PS3.8 9.3.1: bit 0 is version 1
            return UNKNOWN_PROTOCOL
        if self._primitive.application_context_name != _APPLICATION_CONTEXT:
            return UNKNOWN_APPLICATION
        ids = [context.context_id for context in self.contexts]
        # Ids are odd and below 256: who proposes more than 128 contexts must repeat some.
        if not ids or len(set(ids)) < len(ids) or 0 < self.longest_pdu < _SHORTEST_PDU:
            return BAD_REQUEST
        return None if all(one.transfer_syntax for one in self.contexts) else BAD_REQUEST

    def accept(
        self, longest_pdu: int, further: Sequence[str] = (), *, identified: bool = False
    ) -> tuple[bytes, dict[int, Context]]:
        """The A-ASSOCIATE-AC PDU, and the accepted presentation contexts.

        Every storage class is taken, private and unknown ones too, in the transfer syntax that the
        sender names first. Extended negotiation of SOP classes is not answered, which says that
        nothing beyond the standard behaviour is offered (PS3.7 D.3.3.5).

        Parameters
        ----------
        longest_pdu
            Longest P-DATA-TF PDU that is taken.
        further
            Abstract syntaxes beside storage and verification; the sender may be SCU or SCP of
            them, as it says (PS3.7 D.3.3.4).
        identified
            The user identity was checked.
        """
        ours = [build_context(Verification), *map(_in_both_roles, further)]
        roles = {
            item.sop_class_uid: (item.scu_role, item.scp_role)
            for item in self._items
            if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
        }
        results, role_answers = negotiate_unrestricted(self.contexts, ours, roles)
        answer = A_ASSOCIATE()
        answer.application_context_name = _APPLICATION_CONTEXT
        answer.calling_ae_title = self._primitive.calling_ae_title
        answer.called_ae_title = self._primitive.called_ae_title
        answer.result, answer.result_source = 0, 1
        answer.presentation_context_definition_results_list = results
        answer.user_information = [
            *_about_us(longest_pdu), *role_answers, *self._window(), *self._welcome(identified)
        ]  # fmt: skip
        return _encoded(A_ASSOCIATE_AC, answer), _accepted(results)

    def _window(self) -> list[Any]:
        """One operation at a time, said to those who ask (PS3.7 D.3.3.3)."""
        if self._item(AsynchronousOperationsWindowNegotiation) is None:
            return []
        item = AsynchronousOperationsWindowNegotiation()
        item.maximum_number_operations_invoked = 1
        item.maximum_number_operations_performed = 1
        return [item]

    def _welcome(self, identified: bool) -> list[Any]:
        """That the user identity was accepted, said to those who ask (PS3.7 D.3.3.7)."""
        identity = self.caller.identity
        if not (identified and identity and identity.answer_wanted):
            return []
        item = UserIdentityNegotiation()
        item.server_response = b""
        return [item]

    def _item(self, kind: type) -> Any:
        return next((item for item in self._items if isinstance(item, kind)), None)


def reject(rejection: Rejection) -> bytes:
    """The A-ASSOCIATE-RJ PDU."""
    answer = A_ASSOCIATE()
    answer.result, answer.result_source = rejection.result, rejection.source
    answer.diagnostic = rejection.reason
    return _encoded(A_ASSOCIATE_RJ, answer)


def _in_both_roles(abstract_syntax: str) -> PresentationContext:
    context = build_context(abstract_syntax, list(_UNCOMPRESSED))
    context.scu_role = context.scp_role = True
    return context


def _title(field: bytes) -> bytes:
    """An AE title that pynetdicom reads: a letter beyond ASCII, say, is no reason for an abort."""
    legible = field.replace(b"\0", b" ").translate(_LEGIBLE)
    return legible if legible.strip() else b"?".ljust(len(field))


def _encoded(kind: Any, primitive: A_ASSOCIATE) -> bytes:
    pdu = kind()
    pdu.from_primitive(primitive)
    encoded: bytes = pdu.encode()
    return encoded


def _accepted(results: list[PresentationContext]) -> dict[int, Context]:
    return {
        one.context_id: Context(str(one.abstract_syntax), str(one.transfer_syntax[0]))
        for one in results
        if one.result == 0
    }


def _about_us(longest_pdu: int) -> list[Any]:
    length = MaximumLengthNotification()
    length.maximum_length_received = longest_pdu
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, implementation, version]


def _identity(item: Any) -> Identity:
    return Identity(
        kind=item.user_identity_type,
        primary=item.primary_field or b"",
        secondary=item.secondary_field or b"",
        answer_wanted=bool(item.positive_response_requested),
    )
