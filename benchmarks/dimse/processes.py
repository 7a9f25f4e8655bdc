"""What processes cost, read from outside while they run (proc(5))."""

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process and of what it has started, ended or not."""
    return sum(_own(one) for one in _tree(pid))


def _tree(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += parents.get(found[-1], [])
    return found


def _own(pid: int) -> float:
    fields = _fields(pid)
    # utime, stime, and both of the children that were waited for
    return sum(map(int, fields[11:15])) / _TICK if fields else 0.0


def _fields(pid: int) -> list[str]:
    """The fields of /proc/pid/stat from the state on; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
