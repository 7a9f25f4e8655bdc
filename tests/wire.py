"""A DICOM sender that does what no decent one does."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


@contextmanager
def association(
    port: int,
    *,
    called: str = "SLUSE",
    calling: str = "SCANNER",
    classes: tuple[str, ...] = (CT_IMAGE,),
    syntax: str = ExplicitVRLittleEndian,
) -> Iterator[Association]:
    """An association to this machine, whether it is established or not."""
    entity = AE(calling)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 20
    contexts = [build_context(one, syntax) for one in classes]
    opened = entity.associate("127.0.0.1", port, contexts=contexts, ae_title=called)
    _keep_responses(opened)
    try:
        yield opened
    finally:
        if opened.is_established:
            opened.release()


def store_raw(
    opened: Association,
    data_set: bytes,
    *,
    sop_instance: str = "1.2.3.4.5",
    sop_class: str = CT_IMAGE,
) -> int:
    """C-STORE any bytes under any SOP Instance UID; the status, or -1 without an answer."""
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = UID(sop_class)
    request._affected_sop_instance_uid = UID(sop_instance, validation_mode=0)
    request.Priority = 2
    request.DataSet = BytesIO(data_set)
    opened.dimse.send_msg(request, opened.accepted_contexts[0].context_id or 1)
    _, answer = opened.dimse.get_msg(block=True)
    return answer.Status if answer is not None else -1  # type: ignore[union-attr]


def _keep_responses(opened: Association) -> None:
    """Leave responses to who waits for them: pynetdicom's reactor takes some away unheard."""
    get = opened.dimse.get_msg

    def waiting_only(block: bool = False) -> Any:
        return get(block=True) if block else (None, None)

    opened.dimse.get_msg = waiting_only  # type: ignore[method-assign]


def encoded(data_set: Dataset) -> bytes:
    """The data set as it goes over the wire, without file meta information."""
    from pynetdicom.dsutils import encode

    raw: Any = encode(data_set, False, True)
    return bytes(raw)
