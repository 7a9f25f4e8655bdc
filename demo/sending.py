"""Sends studies over a real DICOM association, as a modality does."""

import socket
from collections.abc import Callable

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification


def send(
    instances: list[Dataset],
    port: int,
    *,
    called: str,
    calling: str,
    on_stored: Callable[[], None] = lambda: None,
) -> None:
    """Send `instances` to the SCP at `port` on this machine.

    Raises
    ------
    RuntimeError
        The association was refused, or an instance was not stored.
    """
    entity = AE(calling)
    kinds = {(str(i.SOPClassUID), str(i.file_meta.TransferSyntaxUID)) for i in instances}
    association = entity.associate(
        "127.0.0.1",
        port,
        contexts=[build_context(*kind) for kind in sorted(kinds)],
        ae_title=called,
        evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)],
    )
    if not association.is_established:
        raise RuntimeError(f"{called} on port {port} accepted no association")
    try:
        for instance in instances:
            status = association.send_c_store(instance)
            if "Status" not in status or status.Status != 0x0000:
                raise RuntimeError(f"an image was not stored: {status.get('Status', 'no answer')}")
            on_stored()
    finally:
        association.release()


def answers(port: int, called: str) -> bool:
    """Whether the AE `called` accepts associations at `port` on this machine (C-ECHO)."""
    entity = AE("SCANNER")
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return False
    association.release()
    return True


def _no_delay(event: evt.Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
