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
from benchmarks.deid.contestants import Contestant, contestants

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


def main() -> int:
    options = _options()
    _adopt()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sluse-bench-", dir=options.scratch) as name:
        scratch = Path(name)
        taking_part = contestants(scratch, options.processes, peers=not options.no_peers)
        report = [f"# De-identification, {options.files} files, {os.cpu_count()} cores"]
        sizes = {"ct": options.files, "mr": options.files, "enhanced": max(options.files // 40, 3)}
        for kind, files in sizes.items():
            source, single = scratch / kind, scratch / f"{kind}-one"
            source.mkdir()
            getattr(workloads, kind)(source, files)
            single.mkdir()
            shutil.copy(source / "000000.dcm", single)
            rounds: dict[str, list[Round]] = defaultdict(list)
            for number in range(options.rounds):
                if number and time.monotonic() - began > options.minutes * 60:
                    break
                for one in _turned(taking_part, number):
                    if measured := _round(one, source, single, files, scratch):
                        rounds[one.name].append(measured)
            title = f"{kind}: {files} files, {workloads.describe(source / '000000.dcm')}"
            report += ["", f"## {title}", "", *_table(taking_part, rounds)]
            print("\n".join(report[-len(_table(taking_part, rounds)) - 2 :]), flush=True)
            shutil.rmtree(source)
    if options.write:
        RESULTS.write_text("\n".join(report) + "\n", encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.deid", description=__doc__)
    parser.add_argument("--files", type=int, default=2000, help="CT and MR files (2000)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--minutes", type=float, default=20,
                        help="no new round is begun after so many (20)")  # fmt: skip
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scratch", type=Path, help="where some 4 GB are free (TMPDIR)")
    parser.add_argument("--no-peers", action="store_true", help="only cp and Sluse")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    if options.files < 2:
        parser.error("--files: at least 2, for the start is measured with one")
    return options


def _turned(taking_part: list[Contestant], by: int) -> list[Contestant]:
    """Each round begins with another, so that nobody always follows the same."""
    by %= len(taking_part)
    return taking_part[by:] + taking_part[:by]


def _round(one: Contestant, source: Path, single: Path, files: int, scratch: Path) -> Round | None:
    short = _run(one, single, scratch)
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


def _table(taking_part: list[Contestant], rounds: dict[str, list[Round]]) -> list[str]:
    lines = [
        "| | CPU ms/file | of cp | files/s | of cp | start, CPU s | rounds |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    if not rounds[taking_part[0].name]:
        return [*lines, "| nothing to compare with: cp failed |"]
    plain = _medians(rounds[taking_part[0].name])
    for one in taking_part:
        if not rounds[one.name]:
            lines.append(f"| {one.name} | failed | | | | | 0 |")
            continue
        own = _medians(rounds[one.name])
        if min(own.cpu, own.wall, plain.cpu, plain.wall) <= 0:
            # The start varies by more than so few files cost.
            lines.append(f"| {one.name} | too few files | | | | {own.start:.2f} | |")
            continue
        lines.append(
            f"| {one.name} | {own.cpu * 1000:.2f} | {own.cpu / plain.cpu:.2f} "
            f"| {1 / own.wall:.1f} | {plain.wall / own.wall:.3f} "
            f"| {own.start:.2f} | {len(rounds[one.name])} |"
        )
    return lines


def _medians(rounds: list[Round]) -> Round:
    return Round(
        statistics.median(one.cpu for one in rounds),
        statistics.median(one.wall for one in rounds),
        statistics.median(one.start for one in rounds),
    )


if __name__ == "__main__":
    sys.exit(main())
