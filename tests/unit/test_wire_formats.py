"""What the receiver encodes and decodes itself, beside what pynetdicom makes of the same."""

import struct
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import create_file_meta, decode, encode_file_meta
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_RELEASE_RP, P_DATA_TF
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from services.receiver.acse import Identity, Request, Verdict
from services.receiver.consumer import head
from services.receiver.limits import Limits
from shared.dimse.messages import Answer, Command, encode, response
from shared.dimse.pdu import Abort, ProviderAbort, abort_pdu, data_pdus, release_pdu
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from tests.rawpeer import CT, EXPLICIT, request_pdu, store_command


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "1.2." + "3" * 60])
@pytest.mark.parametrize("syntax", [EXPLICIT, "1.2.840.10008.1.2.4.202", "1.2.276.0.99.9"])
def test_the_head_of_a_file_is_that_of_pynetdicom(uid: str, syntax: str) -> None:
    meta = create_file_meta(
        sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax=syntax,
        implementation_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version=IMPLEMENTATION_VERSION_NAME,
    )  # fmt: skip
    assert head(CT, uid, syntax) == bytes(128) + b"DICM" + encode_file_meta(meta)


def test_a_response_is_read_by_pynetdicom() -> None:
    request = Command(store_command("1.2.345"))
    encoded = response(request, Answer(0xA700, "The disk is full"))
    message: Any = C_STORE_RSP()
    message.command_set = decode(BytesIO(encoded), True, True)
    assert message.command_set.CommandGroupLength == len(encoded) - 12
    message.data_set = BytesIO()
    primitive: C_STORE = message.message_to_primitive()
    assert (primitive.Status, primitive.MessageIDBeingRespondedTo) == (0xA700, 7)
    assert primitive.AffectedSOPInstanceUID == "1.2.345"
    assert primitive.AffectedSOPClassUID == CT
    assert message.command_set.ErrorComment == "The disk is full"


@given(st.binary(max_size=200))
def test_a_command_set_is_read_or_refused(encoded: bytes) -> None:
    try:
        Command(encoded)
    except Abort as abort:
        assert abort.source == 0


@given(st.dictionaries(st.integers(1, 0xFFFF), st.integers(0, 0xFFFF), max_size=20))
def test_what_is_encoded_is_read_again(elements: dict[int, int]) -> None:
    elements |= {0x100: 1, 0x110: 2, 0x800: 0x101}
    command = Command(encode(dict(elements)))
    assert all(command.number(one) == value for one, value in elements.items())
    assert not command.has_data_set


@given(st.binary(max_size=300), st.integers(7, 100))
def test_fragments_are_joined_by_pynetdicom(content: bytes, longest: int) -> None:
    stream, joined, controls = data_pdus(5, 1, content, longest), b"", []
    while stream:
        length = struct.unpack(">L", stream[2:6])[0]
        assert length <= longest
        pdu = P_DATA_TF()
        pdu.decode(stream[: 6 + length])
        ((context_id, value),) = pdu.to_primitive().presentation_data_value_list
        assert context_id == 5
        controls.append(value[0])
        joined += value[1:]
        stream = stream[6 + length :]
    assert joined == content
    assert controls == [1] * (len(controls) - 1) + [3]


def test_aborts_and_releases_are_read_by_pynetdicom() -> None:
    pdu = A_ABORT_RQ()
    pdu.decode(abort_pdu(ProviderAbort("x", ProviderAbort.UNEXPECTED_PDU)))
    assert (pdu.source, pdu.reason_diagnostic) == (2, 2)
    A_RELEASE_RP().decode(release_pdu())
    assert release_pdu() == A_RELEASE_RP().encode()


@given(st.integers(6, 300), st.binary(min_size=1, max_size=8))
def test_a_damaged_request_is_read_or_refused(where: int, damage: bytes) -> None:
    good = request_pdu()
    try:
        Request(good[:where] + damage + good[where + len(damage) :], "::1").objection()
    except Abort as abort:
        assert abort.source == 0


def test_a_checked_identity_is_confirmed_to_who_asks() -> None:
    user = UserIdentityNegotiation()
    user.user_identity_type, user.primary_field, user.secondary_field = 2, b"me", b"secret"
    user.positive_response_requested = True
    request = Request(request_pdu(further=[user]), "10.0.0.1")
    assert request.caller.identity == Identity(2, b"me", b"secret", True)
    assert "secret" not in repr(request.caller)
    for identified in (True, False):
        encoded, contexts = request.accept(16384, identified=identified)
        answer = A_ASSOCIATE_AC()
        answer.decode(encoded)
        items = [type(item) for item in answer.to_primitive().user_information]
        assert (UserIdentityNegotiation in items) == identified
        assert contexts[1].transfer_syntax == EXPLICIT
    assert Verdict() == (None, False)


def test_limits_are_given_back() -> None:
    limits = Limits(3, 2)
    assert limits.enter("a") and limits.enter("a") and not limits.enter("a")
    assert limits.enter("b") and not limits.enter("c")
    limits.leave("a")
    assert limits.enter("c") and not limits.enter("b")
