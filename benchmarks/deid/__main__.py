"""De-identification against plain copying and against peers; `README.md` says how it is done."""

import argparse
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deid import workloads
from benchmarks.deid.contestants import Contestant, Scaling, copying, peers, sluse

RESULTS = Path(__file__).parent / "results.md"
LONGEST_RUN = 1200
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Run:
    """One whole process and what it started."""

    cpu: float
    """User and system seconds."""
    wall: float
    copies: int


@dataclass(frozen=True)
class Round:
    """Cost per file without the start: the run over all files minus the run over one."""

    cpu: float
    wall: float
    start: float
    """CPU seconds of a run over one file."""


@dataclass(frozen=True)
class Folders:
    """The originals of one kind."""

    kind: str
    everything: Path
    files: int
    part: Path
    """For the slow ones."""
    files_of_part: int
    single: Path

    def of(self, one: Contestant) -> tuple[Path, int]:
        """What a contestant does, and how many files that is."""
        return (self.part, self.files_of_part) if one.slow else (self.everything, self.files)


Rounds = dict[str, list[Round]]
"""By contestant."""


def main() -> int:
    options = _options()
    _adopt()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sluse-bench-", dir=options.scratch) as name:
        scratch = Path(name)
        scaling = sluse(scratch, options.processes)
        taking_part = [
            copying(),
            *(one for kind in scaling for one in kind.with_processes.values()),
        ]
        taking_part += [] if options.no_peers else peers(scratch)
        report = [f"# De-identification, {os.cpu_count()} cores"]
        for kind in options.kinds:
            folders = _made(kind, options, scratch)
            rounds: Rounds = defaultdict(list)
            for number in range(options.rounds):
                if number and time.monotonic() - began > options.minutes * 60:
                    break
                for one in _turned(taking_part, number):
                    if measured := _round(one, folders, scratch):
                        rounds[one.name].append(measured)
            about = workloads.describe(folders.everything / "000000.dcm")
            tables = ["", f"## {kind}: {folders.files} files, {about}", ""]
            tables += [*_table(taking_part, rounds, folders), "", *_scaling(scaling, rounds)]
            print("\n".join(tables), flush=True)
            report += tables
            shutil.rmtree(folders.everything)
    if options.write:
        RESULTS.write_text("\n".join(report) + "\n", encoding="utf-8")
    return 0


def _made(kind: str, options: argparse.Namespace, scratch: Path) -> Folders:
    """Make the originals; the part and the single one are links to the first of them."""
    share = workloads.SHARES[kind]
    files, part = max(options.files // share, 3), max(options.peer_files // share, 2)
    folders = Folders(kind, scratch / kind, files, scratch / f"{kind}-part", min(files, part),
                      scratch / f"{kind}-one")  # fmt: skip
    for folder in (folders.everything, folders.part, folders.single):
        folder.mkdir()
    getattr(workloads, kind)(folders.everything, files)
    originals = sorted(folders.everything.iterdir())
    for original in originals[: folders.files_of_part]:
        (folders.part / original.name).hardlink_to(original)
    (folders.single / originals[0].name).hardlink_to(originals[0])
    return folders


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.deid", description=__doc__)
    parser.add_argument("--files", type=int, default=2000,
                        help="CT and MR files; a tenth of that enhanced ones (2000)")  # fmt: skip
    parser.add_argument("--peer-files", type=int, default=100,
                        help="how many of them the peers do (100)")  # fmt: skip
    parser.add_argument("--kinds", nargs="+", choices=list(workloads.SHARES),
                        default=list(workloads.SHARES), help="which folders")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--minutes", type=float, default=20,
                        help="no new round is begun after so many (20)")  # fmt: skip
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1,
                        help="the most that Sluse is given (one per core)")  # fmt: skip
    parser.add_argument("--scratch", type=Path, help="where some 3 GB are free (TMPDIR)")
    parser.add_argument("--no-peers", action="store_true", help="only cp and Sluse")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    if min(options.files, options.peer_files) < 2:
        parser.error("--files, --peer-files: at least 2, for the start is measured with one")
    return options


def _turned(taking_part: list[Contestant], by: int) -> list[Contestant]:
    """Each round begins with another, so that nobody always follows the same."""
    by %= len(taking_part)
    return taking_part[by:] + taking_part[:by]


def _round(one: Contestant, folders: Folders, scratch: Path) -> Round | None:
    source, files = folders.of(one)
    short = _run(one, folders.single, scratch)
    long = _run(one, source, scratch)
    if short is None or long is None or (short.copies, long.copies) != (1, files):
        print(f"{one.name} did not copy all files", file=sys.stderr)
        return None
    more = files - 1
    return Round((long.cpu - short.cpu) / more, (long.wall - short.wall) / more, short.cpu)


def _run(one: Contestant, source: Path, scratch: Path) -> Run | None:
    """Run it once; None if it fails."""
    target = scratch / "copies"
    if one.needs_target:
        target.mkdir()
    try:
        before, began = _children(), time.perf_counter()
        ended = subprocess.run(one.command(source, target), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, cwd=scratch, timeout=LONGEST_RUN,
                               check=False)  # fmt: skip
        wall = time.perf_counter() - began
        _reap()
        cpu = _children() - before
        if ended.returncode:
            print(f"{one.name} ended with {ended.returncode}", file=sys.stderr)
            return None
        return Run(cpu, wall, sum(path.is_file() for path in target.rglob("*")))
    except subprocess.TimeoutExpired:
        print(f"{one.name} took more than {LONGEST_RUN} s", file=sys.stderr)
        return None
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _adopt() -> None:
    """Let processes whose parent has ended become ours (prctl(2)): a fork server's outlive it."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _reap() -> None:
    """Wait for what a run has left, so that its time is counted too."""
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _children() -> float:
    """CPU seconds of all processes that have ended below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _table(taking_part: list[Contestant], rounds: Rounds, folders: Folders) -> list[str]:
    lines = [
        "| | files | CPU ms/file | of cp | files/s | of cp | start, CPU s | rounds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    if not rounds[taking_part[0].name]:
        return [*lines, "| nothing to compare with: cp failed |"]
    plain = _medians(rounds[taking_part[0].name])
    for one in taking_part:
        files = folders.of(one)[1]
        if not rounds[one.name]:
            lines.append(f"| {one.name} | {files} | failed | | | | | 0 |")
            continue
        own = _medians(rounds[one.name])
        if min(own.cpu, own.wall, plain.cpu, plain.wall) <= 0:
            # The start varies by more than so few files cost.
            lines.append(f"| {one.name} | {files} | too few | | | | {own.start:.2f} | |")
            continue
        lines.append(
            f"| {one.name} | {files} | {own.cpu * 1000:.2f} | {own.cpu / plain.cpu:.2f} "
            f"| {1 / own.wall:.1f} | {plain.wall / own.wall:.3f} "
            f"| {own.start:.2f} | {len(rounds[one.name])} |"
        )
    return lines


def _scaling(scaling: list[Scaling], rounds: Rounds) -> list[str]:
    """What more processes gain, round by round: the machine is never the same for long."""
    lines = ["| | processes | files/s | of one process |", "|---|--:|--:|--:|"]
    for kind in scaling:
        single = rounds[kind.with_processes[1].name]
        for number, one in kind.with_processes.items():
            pairs = [
                (own.wall, alone.wall / own.wall)
                for own, alone in zip(rounds[one.name], single, strict=False)
                if min(own.wall, alone.wall) > 0
            ]
            if len(pairs) < len(rounds[one.name]) or not pairs:
                lines.append(f"| {kind.name} | {number} | too few files | |")
            else:
                wall, gain = (statistics.median(values) for values in zip(*pairs, strict=True))
                lines.append(f"| {kind.name} | {number} | {1 / wall:.1f} | {gain:.2f} |")
    return lines


def _medians(rounds: list[Round]) -> Round:
    return Round(
        statistics.median(one.cpu for one in rounds),
        statistics.median(one.wall for one in rounds),
        statistics.median(one.start for one in rounds),
    )


if __name__ == "__main__":
    sys.exit(main())
