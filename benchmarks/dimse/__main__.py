"""The wire, beside peers; `README.md` says how it is done."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.dimse import inwards, journey, loads, outwards
from benchmarks.dimse.receivers import (
    SLUSE,
    Orthanc,
    Pynetdicom,
    Receiver,
    SluseReceiver,
    Storescp,
)
from shared.identity import MasterKey
from tests.servers.common import stop_all
from tests.servers.postgres import new_database, postgres
from tests.servers.rabbitmq import RabbitMq, rabbitmq

RESULTS = Path(__file__).parent / "results.md"
PARTS = ("inwards", "outwards", "journey")


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="sluse-bench-", dir=options.scratch) as name:
        scratch = Path(name)
        (scratch / "owner").write_text(str(os.getpid()))
        folders = {kind: scratch / kind for kind in options.kinds}
        for kind, folder in folders.items():
            loads.make(kind, folder, options.images)
        report = [f"# The wire, {os.cpu_count()} cores, {options.images} images a run"]
        try:
            broker, server = rabbitmq(scratch), postgres(scratch)
            for part in options.parts:
                report += ["", *globals()[f"_{part}"](options, folders, broker, server)]
        finally:
            stop_all(scratch)
        print("\n".join(report), flush=True)
        if options.write:
            RESULTS.write_text("\n".join(report) + "\n", encoding="utf-8")
    return 0


def _inwards(
    options: argparse.Namespace, folders: dict[str, Path], broker: RabbitMq, server: str
) -> list[str]:
    knobs = os.environ | {
        "SLUSE_BUS_URL": broker.new_vhost(),
        "SLUSE_DATABASE_URL": new_database(server),
        "SLUSE_MASTER_KEY": MasterKey.generate(),
    }
    subprocess.run([SLUSE, "migrate"], env=knobs, check=True, stdout=subprocess.DEVNULL)
    receivers: list[Receiver] = [Storescp(), SluseReceiver(knobs), Orthanc(), Pynetdicom()]
    costs = inwards.measure(receivers, folders, options.associations, options.rounds)
    lines = [
        "## In: dcmsend → receiver", "",
        "| image | associations | receiver | CPU ms/image | images/s | of storescp | rounds |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]  # fmt: skip
    for kind in folders:
        for number in options.associations:
            best = statistics.median(one.pace for one in costs[receivers[0].name, kind, number])
            for receiver in receivers:
                own = costs[receiver.name, kind, number]
                cpu, pace = (statistics.median(getattr(one, what) for one in own)
                             for what in ("cpu", "pace"))  # fmt: skip
                lines.append(f"| {kind} | {number} | {receiver.name} | {cpu:.2f} | {pace:.0f} "
                             f"| {pace / best:.2f} | {len(own)} |")  # fmt: skip
    return lines


def _outwards(
    options: argparse.Namespace, folders: dict[str, Path], broker: RabbitMq, server: str
) -> list[str]:
    lines = [
        "## Out: sender → PACS", "",
        "| image | PACS | sender | CPU ms/image | images/s | rounds |", "|---|---|---|--:|--:|--:|",
    ]  # fmt: skip
    costs = outwards.measure([Storescp(), Orthanc()], folders, options.rounds)
    for (kind, pacs, sender), own in costs.items():
        cpu, pace = (statistics.median(getattr(one, what) for one in own)
                     for what in ("cpu", "pace"))  # fmt: skip
        lines.append(f"| {kind} | {pacs} | {sender} | {cpu:.2f} | {pace:.0f} | {len(own)} |")
    return lines


def _journey(
    options: argparse.Namespace, folders: dict[str, Path], broker: RabbitMq, server: str
) -> list[str]:
    lines = [
        "## The whole journey: dcmsend → … → PACS, two associations", "",
        "| image | through | to | images/s | CPU ms/image | rounds |", "|---|---|---|--:|---|--:|",
    ]  # fmt: skip
    for (kind, through, pacs), runs in _journeys(options, folders, broker, server).items():
        services = runs[0].cpu
        shares = " · ".join(
            f"{name} {statistics.median(one.cpu[name] for one in runs):.2f}" for name in services
        )
        pace = statistics.median(one.pace for one in runs)
        lines.append(f"| {kind} | {through} | {pacs} | {pace:.0f} | {shares} | {len(runs)} |")
    return lines


def _journeys(
    options: argparse.Namespace, folders: dict[str, Path], broker: RabbitMq, server: str
) -> dict[tuple[str, str, str], list[journey.Journey]]:
    found: dict[tuple[str, str, str], list[journey.Journey]] = {}
    for _ in range(options.rounds):
        for kind, folder in folders.items():
            for make in (Storescp, Orthanc):
                sink: Receiver = make()
                place = folder.with_name("through")
                with (
                    sink.running(folder.with_name("sink")),
                    journey.sluse(place, broker.new_vhost(), new_database(server), sink) as system,
                ):
                    one = journey.run(system, folder, 2)
                found.setdefault((kind, "Sluse", sink.name), []).append(one)
                _emptied(place)
            sink, target = Storescp(), folder.with_name("sink")
            peer = Orthanc(sink)
            with sink.running(target), peer.running(folder.with_name("peer")):
                one = journey.run_peer(peer, sink, target, folder, 2)
            found.setdefault((kind, peer.name, sink.name), []).append(one)
    return found


def _emptied(folder: Path) -> None:
    for entry in sorted(folder.rglob("*"), reverse=True):
        entry.rmdir() if entry.is_dir() else entry.unlink()
    folder.rmdir()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.dimse", description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="of each kind (1000)")
    parser.add_argument("--kinds", nargs="+", choices=loads.KINDS, default=list(loads.KINDS))
    parser.add_argument("--associations", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--scratch", type=Path, help="where some 5 GB are free (TMPDIR)")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
