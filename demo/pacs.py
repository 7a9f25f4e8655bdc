"""A stand-in research PACS: a Storage SCP that writes what it gets into a folder."""

from pathlib import Path

from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import Verification


class StandInPacs:
    """Listens on this machine; `folder` then holds one file per SOP Instance UID."""

    def __init__(self, folder: Path, ae_title: str = "RESEARCHPACS", port: int = 0) -> None:
        self.ae_title, self._folder = ae_title, folder
        folder.mkdir(parents=True, exist_ok=True)
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        _config.LOG_HANDLER_LEVEL = "none"
        entity = AE(ae_title)
        entity.add_supported_context(Verification)
        entity.maximum_pdu_size = 131072
        self._entity = entity
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def path(self, sop_instance_uid: str) -> Path:
        """The file of an instance."""
        return self._folder / f"{sop_instance_uid}.dcm"

    def close(self) -> None:
        """Stop listening."""
        self._entity.shutdown()

    def _store(self, event: evt.Event) -> int:
        path = self.path(str(event.request.AffectedSOPInstanceUID))
        path.write_bytes(event.encoded_dataset())
        return 0x0000
