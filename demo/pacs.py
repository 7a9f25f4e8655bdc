"""A stand-in research PACS: it writes what it gets into a folder, and says what it has."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRoot
from pynetdicom.sop_class import Verification

_LEVELS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


class StandInPacs:
    """Listens on this machine; `folder` then holds one file per SOP Instance UID."""

    def __init__(self, folder: Path, ae_title: str = "RESEARCHPACS", port: int = 0) -> None:
        self.ae_title, self._folder = ae_title, folder
        self._held: dict[str, Dataset] = {}
        folder.mkdir(parents=True, exist_ok=True)
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        _config.LOG_HANDLER_LEVEL = "none"
        entity = AE(ae_title)
        entity.add_supported_context(Verification)
        entity.add_supported_context(StudyRoot)
        entity.maximum_pdu_size = 131072
        self._entity = entity
        self._server = entity.start_server(
            ("127.0.0.1", port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)],
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
        uid = str(event.request.AffectedSOPInstanceUID)
        content = event.encoded_dataset()
        self.path(uid).write_bytes(content)
        self._held[uid] = dcmread(BytesIO(content), specific_tags=list(_LEVELS.values()))
        return 0x0000

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer a query of the Study Root model by UIDs, lists of them too (PS3.4 C.6.2)."""
        asked = event.identifier
        found: dict[str, list[Dataset]] = {}
        for one in list(self._held.values()):
            if all(_fits(asked, one, keyword) for keyword in _LEVELS.values()):
                keyword = _LEVELS[asked.QueryRetrieveLevel]
                found.setdefault(str(one[keyword].value), []).append(one)
        for images in found.values():
            answer = Dataset()
            answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
            for keyword in _LEVELS.values():
                if keyword in asked:
                    setattr(answer, keyword, images[0][keyword].value)
            answer.NumberOfStudyRelatedInstances = str(len(images))
            yield 0xFF00, answer


def _fits(asked: Dataset, one: Dataset, keyword: str) -> bool:
    wanted = asked.get(keyword)
    if not wanted:
        return True
    value = str(one[keyword].value)
    return value == wanted if isinstance(wanted, str) else value in list(wanted)
