"""`make demo`: three studies' journey through the lock, on this machine, checked image by image."""

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.account import print_account
from demo.checking import Checked, check
from demo.pacs import StandInPacs
from demo.phantoms import Maker, Study
from demo.sending import answers, send
from demo.system import System

_PATIENCE = 300  # seconds until the demo gives up waiting
_ENDED = ("complete", "attention")


@dataclass
class Journey:
    """One study on its way."""

    study: Study
    called: str
    by: str
    participant: str
    transfer: dict[str, Any] | None = None
    checked: int = 0


def main() -> int:
    """Run the demo; 0 only when every instance was delivered and checked."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--slices", type=int, default=40, help="CT slices (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="keep everything in this folder")
    options = parser.parse_args()
    console = Console(highlight=False)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="sluse-demo-"))
    try:
        return _run(console, folder, options.slices)
    except RuntimeError as error:
        console.print(f"[red]The demo failed:[/red] {error}", markup=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nThe demo was stopped.")
        return 130
    finally:
        if options.keep:
            console.print(f"Everything is in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(console: Console, folder: Path, slices: int) -> int:
    console.print("[bold]Sluse demo[/bold]: clinic → Sluse → research PACS, all on this machine\n")
    pacs = StandInPacs(folder / "pacs")
    columns = (
        TextColumn("{task.description:<46}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with (
        Progress(*columns, console=console) as progress,
        System(folder / "sluse") as sluse,
    ):
        _set_up(sluse, pacs)
        journeys = _make(progress, slices)
        total = sum(len(journey.study.instances) for journey in journeys)
        started = time.monotonic()
        _send(progress, sluse, journeys, total)
        sent = time.monotonic() - started
        _request(sluse, journeys)
        _wait(progress, sluse, journeys, total)
        delivered = time.monotonic() - started
        samples, faults = _check(progress, sluse, pacs, journeys, total)
        totals = sluse.get("/pipeline")["assigned"]
    pacs.close()
    console.print()
    print_account(
        console,
        [_summary(journey) for journey in journeys],
        totals,
        samples[1] if len(samples) > 1 else None,
        {"sent": sent, "delivered": delivered},
    )
    good = not faults and totals["delivered"] == total == sum(j.checked for j in journeys)
    for fault in faults[:10]:
        console.print(f"[red]{fault}[/red]")
    console.print(
        f"\n[bold green]All {total} images were delivered and checked.[/bold green]"
        if good
        else "\n[bold red]Not every image was delivered and checked.[/bold red]"
    )
    return 0 if good else 1


def _set_up(sluse: System, pacs: StandInPacs) -> None:
    destination = sluse.post(
        "/destinations", name="research-pacs", ae_title=pacs.ae_title, host="127.0.0.1",
        port=pacs.port,
    )  # fmt: skip
    sluse.post(
        "/projects", code="DEMO", number="P20_01", title="The demonstration",
        participant_pattern="DEMO_[0-9]{3}", events=["baseline", "year1"],
        destination_id=destination["id"], date_shift_days=42,
    )  # fmt: skip
    sluse.post(
        "/routing-rules", name="DEMO from the research scanner", called_aet="DEMO",
        patient_id_pattern="DEMO_[0-9]{3}", project="DEMO", event="baseline",
    )  # fmt: skip
    _until(lambda: answers(sluse.dicom_port, "DEMO"), "Sluse did not learn the project's AE title")


def _make(progress: Progress, slices: int) -> list[Journey]:
    task = progress.add_task("Making synthetic studies", total=3)
    maker, journeys = Maker(seed=2026), []
    for kind in ("ct", "mr", "us"):
        if kind == "ct":
            # From the research scanner, which knows the participant's id.
            journey = Journey(maker.ct(slices, "DEMO_001"), "DEMO", "by rule", "DEMO_001")
        elif kind == "mr":
            journey = Journey(maker.mr(slices * 3 // 4), "SLUSE", "by request", "DEMO_002")
        else:
            journey = Journey(maker.us(6), "SLUSE", "by request", "DEMO_003")
        journeys.append(journey)
        progress.advance(task)
    return journeys


def _send(progress: Progress, sluse: System, journeys: list[Journey], total: int) -> None:
    task = progress.add_task("Sending over DICOM associations", total=total)
    for journey in journeys:
        send(
            journey.study.instances,
            sluse.dicom_port,
            called=journey.called,
            calling="SCANNER",
            on_stored=lambda: progress.advance(task),
        )


def _request(sluse: System, journeys: list[Journey]) -> None:
    for journey in journeys:
        if journey.by == "by request":
            _until(lambda j=journey: _find(sluse, j), "a study did not show up")
            sluse.post(
                "/transfers", study_instance_uid=journey.study.uid, project="DEMO",
                participant=journey.participant, event="baseline",
            )  # fmt: skip


def _find(sluse: System, journey: Journey) -> bool:
    return bool(sluse.get("/studies", study_instance_uid=journey.study.uid)["items"])


def _wait(progress: Progress, sluse: System, journeys: list[Journey], total: int) -> None:
    task = progress.add_task("De-identifying and delivering", total=total)

    def ended() -> bool:
        transfers = {t["participant"]: t for t in sluse.get("/transfers")["items"]}
        for journey in journeys:
            journey.transfer = transfers.get(journey.participant)
        counts = [j.transfer["counts"] for j in journeys if j.transfer]
        progress.update(task, completed=sum(count["delivered"] for count in counts))
        return sum(count["received"] for count in counts) == total and all(
            j.transfer and j.transfer["state"] in _ENDED for j in journeys
        )

    _until(ended, "the transfers did not end")


def _check(
    progress: Progress, sluse: System, pacs: StandInPacs, journeys: list[Journey], total: int
) -> tuple[list[Checked], list[str]]:
    task = progress.add_task("Checking what the research PACS holds", total=total)
    samples, faults = [], []
    for journey in journeys:
        assert journey.transfer
        path = f"/transfers/{journey.transfer['id']}/deliveries"
        released = {
            d["sop_instance_uid"]: d["released_sop_uid"]
            for d in sluse.get(path, limit=500)["items"]
        }
        for place, original in enumerate(journey.study.instances):
            copy = pacs.path(str(released.get(str(original.SOPInstanceUID))))
            progress.advance(task)
            if not copy.exists():
                faults.append(f"{journey.study.title}: an image is not in the research PACS")
                continue
            checked = check(journey.study, original, copy, journey.participant)
            faults += [f"{journey.study.title}: {fault}" for fault in checked.faults]
            journey.checked += not checked.faults
            if place == 0:
                samples.append(checked)
    return samples, faults


def _summary(journey: Journey) -> dict[str, Any]:
    counts = journey.transfer["counts"] if journey.transfer else {"delivered": 0, "received": 0}
    return {
        "title": journey.study.title,
        "called": journey.called,
        "by": journey.by,
        "participant": journey.participant,
        "checked": journey.checked,
    } | counts


def _until(condition: Any, complaint: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(complaint)
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
