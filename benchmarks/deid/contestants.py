"""Who takes part, how each is installed, and the command that de-identifies a folder."""

import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Command = Callable[[Path, Path], list[str]]
"""From the folders of the originals and of the copies (not there yet) to the command line."""

# The engine alone: no durable writes, no report. Each process takes its share of the files.
_ENGINE = """
import os
import sys
from pathlib import Path
from services.anonymizer.engine import Plan, deidentify
plan = Plan(project="BENCH", key=bytes(range(32)), participant="BENCH_001", date_shift_days=-37)
processes = int(sys.argv[3])
number = next((one for one in range(1, processes) if not os.fork()), 0)
for source in sorted(Path(sys.argv[1]).iterdir())[number::processes]:
    with (Path(sys.argv[2]) / source.name).open("wb") as target:
        deidentify(source, target, plan)
if not number and any(os.wait()[1] for _ in range(1, processes)):
    sys.exit(1)
"""
# deid has no command that de-identifies: these are the calls of its documentation.
_DEID = """
import sys
from deid.dicom import get_files, get_identifiers, replace_identifiers
files = list(get_files(sys.argv[1]))
replace_identifiers(dicom_files=files, ids=get_identifiers(files), output_folder=sys.argv[2],
                    save=True, overwrite=True)
"""


@dataclass(frozen=True)
class Contestant:
    """One way from a folder to a folder."""

    name: str
    command: Command
    needs_target: bool = False
    """Whether the folder of the copies must be there before."""
    slow: bool = False
    """Whether a part of the files is enough to measure it."""


@dataclass(frozen=True)
class Scaling:
    """What does the same with more and more processes."""

    name: str
    with_processes: dict[int, Contestant]


def sluse(scratch: Path, most: int) -> list[Scaling]:
    """Sluse's engine alone, and its command: with 1, 2, 4 and so on up to `most` processes."""
    numbers = sorted({*(1 << power for power in range(most.bit_length() - 1)), most})
    engine = {
        number: Contestant(
            f"Sluse's engine, {_counted(number)}", _engine(number), needs_target=True
        )
        for number in numbers
    }
    command = {
        number: Contestant(f"sluse deidentify, {_counted(number)}", _sluse(scratch / "key", number))
        for number in numbers
    }
    return [Scaling("Sluse's engine", engine), Scaling("sluse deidentify", command)]


def _counted(processes: int) -> str:
    return f"{processes} process{'es' if processes > 1 else ''}"


def copying() -> Contestant:
    """Plain copying."""
    return Contestant("cp -r", lambda source, target: ["cp", "-r", str(source), str(target)])


def peers(scratch: Path) -> list[Contestant]:
    """The peers, freshly installed."""
    dicognito, anonymizer, deid = (
        _installed(scratch, name) for name in ("dicognito", "dicom-anonymizer", "deid")
    )
    return [
        Contestant(
            _version(dicognito, "dicognito"),
            lambda source, target: [
                str(dicognito / "python"), "-m", "dicognito", "--quiet",
                "-o", str(target), str(source)],
            slow=True,
        ),
        Contestant(
            _version(anonymizer, "dicom-anonymizer"),
            lambda source, target: [str(anonymizer / "dicom-anonymizer"), str(source), str(target)],
            needs_target=True,
            slow=True,
        ),
        Contestant(
            _version(deid, "deid"),
            lambda source, target: [str(deid / "python"), "-c", _DEID, str(source), str(target)],
            needs_target=True,
            slow=True,
        ),
    ]  # fmt: skip


def _engine(processes: int) -> Command:
    return lambda source, target: [
        sys.executable, "-c", _ENGINE, str(source), str(target), str(processes),
    ]  # fmt: skip


def _sluse(key: Path, workers: int) -> Command:
    def command(source: Path, target: Path) -> list[str]:
        line = [
            str(Path(sys.executable).parent / "sluse"), "deidentify", str(source), str(target),
            "--project", "BENCH", "--participant", "BENCH_001", "--date-shift=-37",
            "--workers", str(workers), "--key-file", str(key),
        ]  # fmt: skip
        return line if key.exists() else [*line, "--new-key"]

    return command


def _installed(scratch: Path, name: str) -> Path:
    """A virtual environment with a package from the index; its folder of programs."""
    home = scratch / "venvs" / name
    venv.create(home, with_pip=True)
    subprocess.run([home / "bin" / "pip", "install", "--quiet", name], check=True,
                   stderr=subprocess.DEVNULL, timeout=600)  # fmt: skip
    return home / "bin"


def _version(programs: Path, name: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    told = subprocess.run([programs / "python", "-c", code], check=True, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    return f"{name} {told.stdout.strip()}"
