"""Associations for small things, through pynetdicom: queries and reports."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, build_role

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
    credentials: str = ""
    """Name of the folder with its secrets; empty for none of its own."""


class RefusedError(Exception):
    """The archive does not answer such queries; the text says with what, without patient data."""


def report(
    settings: Settings, to: Archive, sop_class: str, sop_instance: str, event: int, said: Dataset
) -> None:
    """Send an N-EVENT-REPORT as the SCP of a service that `to` is the SCU of (PS3.7 10.1.1).

    Raises
    ------
    Retry
        There is nobody, or the report was not taken.
    RefusedError
        The SOP class is not supported there.
    """
    with associated(settings, to, sop_class, as_scp=True) as association:
        status, _ = association.send_n_event_report(said, event, sop_class, sop_instance)
        if status.get("Status") != 0:
            code = status.get("Status")
            answer = "no answer" if code is None else f"answered with {code:04X}"
            raise Retry(Reason.DESTINATION_AWAY, answer)


@contextmanager
def associated(
    settings: Settings,
    archive: Archive,
    sop_class: str,
    *,
    as_scp: bool = False,
    handlers: Sequence[tuple[Any, Any]] = (),
) -> Iterator[Any]:
    """An association for one SOP class, released when the block ends.

    Parameters
    ----------
    as_scp
        We are the SCP of it (role selection, PS3.7 D.3.3.4).
    handlers
        Of pynetdicom's events: what the archive may ask over the same association.

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
        context = client_context(settings, archive.credentials) if archive.tls else None
    except TlsError as error:
        raise Retry(Reason.DESTINATION_AWAY, str(error)) from None
    association = entity.associate(
        archive.host,
        archive.port,
        ae_title=archive.ae_title,
        tls_args=(context, archive.host) if context else None,
        ext_neg=[build_role(sop_class, scp_role=True)] if as_scp else None,
        evt_handlers=list(handlers),
    )
    if not association.is_established:
        if association.rejected_contexts and not association.accepted_contexts:
            name = UID(sop_class).name
            raise RefusedError(f"{name} is not supported there")
        raise Retry(Reason.DESTINATION_AWAY, "no association")
    try:
        yield association
    except BaseException:
        # It may be in the middle of an answer, which a release would wait for.
        association.abort()
        raise
    association.release()
