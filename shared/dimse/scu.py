"""Associations for small things, through pynetdicom: queries and echoes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, _config
from pynetdicom.sop_class import Verification

from shared.dimse.tls import TlsError, client_context
from shared.errors import Reason, Retry
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from shared.settings import Settings


@dataclass(frozen=True)
class Archive:
    """Where an archive is."""

    ae_title: str
    host: str
    port: int
    calling_aet: str | None = None
    """None for Sluse's own."""
    tls: bool = False


class RefusedError(Exception):
    """The archive does not answer such queries; the text says with what, without patient data."""


def echo(settings: Settings, archive: Archive) -> int:
    """The status of a C-ECHO (PS3.7 9.1.5).

    Raises
    ------
    Retry
        There is nobody, or no answer.
    RefusedError
        Verification is not supported there.
    """
    with associated(settings, archive, Verification) as association:
        status = association.send_c_echo().get("Status")
        if status is None:
            raise Retry(Reason.DESTINATION_AWAY, "no answer")
        return int(status)


@contextmanager
def associated(settings: Settings, archive: Archive, sop_class: str) -> Iterator[Any]:
    """An association for one SOP class, released when the block ends.

    Raises
    ------
    Retry
        There is nobody, or not for us now.
    RefusedError
        The SOP class is not supported there.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    entity = AE(archive.calling_aet or settings.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.acse_timeout = entity.dimse_timeout = settings.network_timeout
    entity.network_timeout = settings.network_timeout
    entity.connection_timeout = min(settings.network_timeout, 10.0)
    entity.add_requested_context(sop_class)
    try:
        secured = (client_context(settings), archive.host) if archive.tls else None
    except TlsError as error:
        raise Retry(Reason.DESTINATION_AWAY, str(error)) from None
    association = entity.associate(
        archive.host, archive.port, ae_title=archive.ae_title, tls_args=secured
    )
    if not association.is_established:
        if association.rejected_contexts and not association.accepted_contexts:
            name = UID(sop_class).name
            raise RefusedError(f"{name} is not supported there")
        raise Retry(Reason.DESTINATION_AWAY, _why(association))
    try:
        yield association
    except BaseException:
        # It may be in the middle of an answer, which a release would wait for.
        association.abort()
        raise
    association.release()


def _why(association: Any) -> str:
    """Why there is no association, without patient data."""
    if association.is_rejected and association.acceptor.primitive is not None:
        return f"association rejected: {association.acceptor.primitive.reason_str}"
    return "no association"
