"""Where image files live; the only module that builds a path.

A *spool key* is a relative name such as `received/<study>/<series>/<instance>.dcm`. Keys are made
here, from checked parts, and are what messages and the ledger carry. The folders say what a file
is:

=============  =====================================================================================
`inbox/`       arrived and answered for, not in the ledger yet: the classifier's work list.
               `inbox/<association>/association.json` says who sent it.
`received/`    originals in the ledger: a folder per study, in it one per series (2019 design), with
               the series' facts beside it as `<series>.json`.
`quarantine/`  what could not be catalogued, held for a person.
`released/`    de-identified copies, a folder per transfer.
`imports/`     what browsers send: a folder per import, until it is accepted or discarded.
`tmp/`         files being written. Nothing here has been answered for.
=============  =====================================================================================

A file appears under its final name complete and synced to disk, or not at all.
"""

import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import BaseModel, StringConstraints, ValidationError

from shared.arriving import Arriving
from shared.disk import disk_trouble, make_folder, sync_file, sync_folder
from shared.errors import StartError
from shared.identity import is_usable_uid
from shared.inventory import Inventory
from shared.priority import Priority
from shared.staging import Staging

__all__ = ["Association", "Spool", "SpoolKey", "disk_trouble"]

_UID = r"[0-9]+(?:\.[0-9]+)+"
_KEY = (
    r"(?:inbox|quarantine)/[0-9a-f]{32}/[0-9]{8}\.dcm"
    rf"|(?:received/{_UID}|released/[0-9]+)/{_UID}/{_UID}(?:\.r[0-9]+)?\.dcm"
)
_LEGAL_KEY = re.compile(_KEY)
_LEGAL_ID = re.compile(r"[0-9a-f]{32}")

SpoolKey = Annotated[str, StringConstraints(pattern=f"^(?:{_KEY})$", max_length=300)]


class Association(BaseModel):
    """Who brought the files of one inbox folder: written on receipt, read when catalogued."""

    calling_aet: str
    """Calling AE title, blanks stripped."""
    called_aet: str
    """Called AE title, blanks stripped."""
    peer_address: str
    """Network address of the sender."""
    opened_at: datetime
    closed_at: datetime | None = None
    """When the association ended; None while it is open."""
    priority: Priority = Priority.NORMAL
    """Of what it brings."""
    completed: bool = False
    """Whether it ended with a release, not with an abort or a lost connection."""


class Spool:
    """The spool below the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tmp = str(root / "tmp")

    def prepare(self) -> None:
        """Make the folders and try whether they can be written.

        Raises
        ------
        StartError
            They can't.
        """
        try:
            for name in ("inbox", "received", "quarantine", "released", "imports", "tmp"):
                (self._root / name).mkdir(parents=True, exist_ok=True)
            temporary = self._temporary()
            temporary.touch(exist_ok=False)
            temporary.unlink()
        except OSError as error:
            raise StartError(f"the spool {self._root} can't be used: {error.strerror}") from None

    # Keys

    @staticmethod
    def inbox_key(association_id: str, number: int) -> str:
        """Key of the `number`th file that an association brought."""
        return _checked(f"inbox/{association_id}/{number:08d}.dcm")

    @staticmethod
    def received_key(study_uid: str, series_uid: str, sop_uid: str, revision: int) -> str:
        """Key of an original. Later revisions of an instance stand beside the first."""
        if not all(map(is_usable_uid, (study_uid, series_uid, sop_uid))):
            raise ValueError("not a UID")
        return _checked(f"received/{study_uid}/{series_uid}/{sop_uid}{_suffix(revision)}.dcm")

    @staticmethod
    def quarantine_key(inbox_key: str) -> str:
        """Key under which an inbox file is held when it can't be catalogued."""
        return _checked(inbox_key.replace("inbox/", "quarantine/", 1))

    @staticmethod
    def released_key(transfer_id: int, series_uid: str, sop_uid: str, revision: int) -> str:
        """Key of a de-identified copy; the UIDs are the keyed ones in every scheme."""
        return _checked(f"released/{transfer_id}/{series_uid}/{sop_uid}{_suffix(revision)}.dcm")

    @staticmethod
    def association_of(inbox_key: str) -> str:
        """The association that brought the file."""
        return _checked(inbox_key).split("/")[1]

    def path(self, key: str) -> Path:
        """The file behind `key`.

        Raises
        ------
        ValueError
            `key` was not made here.
        """
        return self._root / _checked(key)

    # Files

    @contextmanager
    def writing(self, key: str, *, durable_name: bool = True) -> Iterator[BinaryIO]:
        """Write a file that appears under `key` when the block ends, synced; never on an exception.

        Parameters
        ----------
        durable_name
            Also sync the folder, so that the name survives a power cut. Needless where the ledger
            notices a missing file and the content can be made again.

        Raises
        ------
        Retry
            The disk is full or broken. Nothing is left behind.
        """
        with self._appearing(self.path(key), durable_name=durable_name) as file:
            yield file

    def arriving(self, key: str, *, synced: bool) -> Arriving:
        """A file that is written as its parts arrive, and appears under `key` when it is kept.

        Parameters
        ----------
        synced
            Keeping it makes content and name durable. Else `sync` does, later.

        Raises
        ------
        Retry
            The disk is full or broken.
        """
        temporary = f"{self._tmp}/{uuid.uuid4().hex}"
        return Arriving(temporary, f"{self._root}/{_checked(key)}", synced=synced)

    def sync(self, keys: Iterable[str]) -> None:
        """Make files durable, content and name; a file that has moved on is fine.

        Raises
        ------
        Retry
            The disk is full or broken.
        """
        folders = set()
        with disk_trouble():
            for path in map(self.path, keys):
                with suppress(FileNotFoundError):
                    sync_file(path)
                    folders.add(path.parent)
            for folder in folders:
                with suppress(FileNotFoundError):
                    sync_folder(folder)

    def adopt(self, moves: dict[str, str]) -> None:
        """Give each file `old` of `moves` its name `new` as well; durable when this returns.

        The old name stays until `discard`, so that a crash in between loses nothing.

        Raises
        ------
        Retry
            A file is gone, or the disk is full or broken.
        """
        with disk_trouble():
            for old, new in moves.items():
                self._link(self.path(old), self.path(new))
            for folder in {self.path(new).parent for new in moves.values()}:
                sync_folder(folder)

    def discard(self, keys: Iterable[str]) -> None:
        """Remove names; a name that is gone already is fine."""
        for key in keys:
            self.path(key).unlink(missing_ok=True)

    def evict(self, keys: Iterable[str]) -> tuple[int, int]:
        """Remove files, each with its earlier revisions; how many there were, and bytes.

        They are gone for good when this returns. A file that is gone already is fine.

        Raises
        ------
        Retry
            The disk is broken.
        """
        files = size = 0
        folders: set[Path] = set()
        with disk_trouble():
            for path in (self.path(one) for key in keys for one in _with_earlier(key)):
                with suppress(FileNotFoundError):
                    length = path.stat().st_size
                    path.unlink()
                    files, size = files + 1, size + length
                folders.add(path.parent)
            for folder in folders:
                with suppress(FileNotFoundError):
                    sync_folder(folder)
                    _remove_empty(folder)
        return files, size

    def forget_series(self, series: Iterable[tuple[str, str]]) -> None:
        """Remove what stands beside the originals of series that have none left.

        Parameters
        ----------
        series
            StudyInstanceUID and SeriesInstanceUID of each.

        Raises
        ------
        Retry
            The disk is broken.
        """
        with disk_trouble():
            for study_uid, series_uid in series:
                folder = self._series_folder(study_uid, series_uid)
                folder.with_name(f"{series_uid}.json").unlink(missing_ok=True)
                _remove_empty(folder)

    def bring_in(self, files: dict[str, Path]) -> None:
        """Give files of an import their names in the inbox as well; durable when this returns.

        Parameters
        ----------
        files
            By the key that each is to have.

        Raises
        ------
        Retry
            A file is gone, or the disk is full or broken.
        """
        with disk_trouble():
            for key, path in files.items():
                self._link(path, self.path(key))
            for folder in {self.path(key).parent for key in files}:
                sync_folder(folder)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """The name of a temporary file, which is removed when the block ends."""
        path = Path(self._temporary())
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def nameless(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A temporary file without a name, and the path that opens it once more.

        However the process ends, nothing of it is left.

        Raises
        ------
        Retry
            The disk is full or broken.
        """
        with disk_trouble(), tempfile.TemporaryFile(dir=self._tmp) as file:
            yield file, Path(f"/dev/fd/{file.fileno()}")

    # Imports

    def staging(self, import_id: str) -> Staging:
        """The folder of an import, whose id is that of the association which it becomes."""
        if _LEGAL_ID.fullmatch(import_id) is None:
            raise ValueError("not an import's id")
        return Staging(self._root / "imports" / import_id)

    def staged(self, older_than: float) -> list[str]:
        """Ids of the imports whose folder was last changed before `older_than` (epoch)."""
        found = []
        for entry in os.scandir(self._root / "imports"):
            with suppress(FileNotFoundError):
                if _LEGAL_ID.fullmatch(entry.name) and entry.stat().st_mtime < older_than:
                    found.append(entry.name)
        return sorted(found)

    def inventory(self) -> Inventory:
        """All files by name, for backups and the doctor."""
        return Inventory(self._root)

    def free(self) -> int:
        """Bytes that are free on the disk."""
        with disk_trouble():
            return shutil.disk_usage(self._root).free

    # Documents beside the images

    def write_association(self, association_id: str, association: Association) -> None:
        """Write who brought the files of an inbox folder."""
        self._write_document(
            self._association_folder(association_id) / "association.json",
            association.model_dump_json().encode(),
        )

    def read_association(self, association_id: str) -> Association | None:
        """Who brought the files of an inbox folder; None when nothing says so (any more)."""
        try:
            text = (self._association_folder(association_id) / "association.json").read_bytes()
            return Association.model_validate_json(text)
        except (FileNotFoundError, ValidationError):
            return None

    def forget_association(self, association_id: str) -> bool:
        """Remove an inbox folder whose files are all catalogued; False while some are not."""
        folder = self._association_folder(association_id)
        if any(folder.glob("*.dcm")):
            return False
        with suppress(FileNotFoundError):
            (folder / "association.json").unlink()
        with suppress(FileNotFoundError):
            folder.rmdir()
        return True

    def is_untouched(self, association_id: str, since: float) -> bool:
        """Whether nothing came into an inbox folder, and nothing left it, since then (epoch)."""
        try:
            return self._association_folder(association_id).stat().st_mtime < since
        except FileNotFoundError:
            return False

    def write_series_facts(self, study_uid: str, series_uid: str, facts: dict[str, object]) -> None:
        """Write the series JSON of the 2019 design beside the series' folder."""
        folder = self._series_folder(study_uid, series_uid)
        text = json.dumps(facts, ensure_ascii=False, indent=1, sort_keys=True)
        self._write_document(folder.with_name(f"{series_uid}.json"), text.encode())

    def _series_folder(self, study_uid: str, series_uid: str) -> Path:
        return self.path(self.received_key(study_uid, series_uid, "1.1", 1)).parent

    # The work list

    def waiting_associations(self) -> list[str]:
        """Ids of the associations with anything in the inbox."""
        return sorted(entry.name for entry in os.scandir(self._root / "inbox") if entry.is_dir())

    def has_arrivals(self) -> bool:
        """Whether any file waits in the inbox to be catalogued."""
        return any((self._root / "inbox").glob("*/*.dcm"))

    def count_arrivals(self, most: int) -> int:
        """How many files wait in the inbox to be catalogued, counted up to `most`.

        Raises
        ------
        Retry
            The disk is broken.
        """
        found = 0
        with disk_trouble(), os.scandir(self._root / "inbox") as folders:
            for folder in folders:
                with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as files:
                    found += sum(one.name.endswith(".dcm") for one in files)
                if found >= most:
                    return most
        return found

    def waiting_files(self, association_id: str, older_than: float) -> list[str]:
        """Keys of an association's inbox files last written before `older_than` (epoch)."""
        found = []
        with (
            suppress(FileNotFoundError),
            os.scandir(self._association_folder(association_id)) as it,
        ):
            for entry in it:
                with suppress(FileNotFoundError):
                    if entry.name.endswith(".dcm") and entry.stat().st_mtime < older_than:
                        found.append(f"inbox/{association_id}/{entry.name}")
        return sorted(found)

    def sweep_temporary(self, older_than: float) -> int:
        """Remove temporary files last written before `older_than` (epoch); how many."""
        swept = 0
        for entry in os.scandir(self._root / "tmp"):
            with suppress(FileNotFoundError):
                if entry.stat().st_mtime < older_than:
                    Path(entry.path).unlink()
                    swept += 1
        return swept

    def _association_folder(self, association_id: str) -> Path:
        return self.path(self.inbox_key(association_id, 0)).parent

    def _temporary(self) -> Path:
        # Unique over hosts that share the spool: in a container every process is PID 1.
        return self._root / "tmp" / uuid.uuid4().hex

    def _write_document(self, target: Path, content: bytes) -> None:
        with self._appearing(target) as file:
            file.write(content)

    @contextmanager
    def _appearing(self, target: Path, *, durable_name: bool = True) -> Iterator[BinaryIO]:
        temporary = self._temporary()
        with disk_trouble():
            try:
                with temporary.open("xb") as file:
                    yield file
                    file.flush()
                    os.fdatasync(file.fileno())
                make_folder(target.parent)
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            if durable_name:
                sync_folder(target.parent)

    def _link(self, source: Path, target: Path) -> None:
        make_folder(target.parent)
        try:
            os.link(source, target)
        except FileExistsError:
            # Left by an attempt that was never committed: the same file, or one in its way.
            if not target.samefile(source):
                temporary = self._temporary()
                os.link(source, temporary)
                temporary.replace(target)


def _suffix(revision: int) -> str:
    return f".r{revision}" if revision > 1 else ""


def _with_earlier(key: str) -> list[str]:
    """A file's key, and those of its earlier revisions."""
    stem, marked, revision = _checked(key).removesuffix(".dcm").partition(".r")
    last = int(revision) if marked else 1
    return [f"{stem}{_suffix(one)}.dcm" for one in range(1, last + 1)]


def _remove_empty(folder: Path) -> None:
    """Remove a folder of images and the one around it, as far as nothing is in them."""
    for one in (folder, folder.parent):
        try:
            one.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return


def _checked(key: str) -> str:
    if len(key) > 300 or _LEGAL_KEY.fullmatch(key) is None:
        # The key itself may be hostile text: it stays out of the message.
        raise ValueError("not a spool key")
    return key
