"""Prints what happened, for a person to read."""

import re
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_description
from rich import box
from rich.console import Console
from rich.table import Table

from demo.checking import Checked

# A dozen telling elements: paths of keywords through sequences; hexadecimal for private ones.
_TELLING: tuple[tuple[str | int, ...], ...] = (
    ("PatientName",),
    ("PatientID",),
    ("PatientBirthDate",),
    ("PatientSex",),
    ("PatientAddress",),
    ("AccessionNumber",),
    ("InstitutionName",),
    ("ReferringPhysicianName",),
    ("StudyDate",),
    ("StudyInstanceUID",),
    ("ReferencedImageSequence", "ReferencedSOPInstanceUID"),
    ("RequestAttributesSequence", "RequestedProcedureID"),
    (0x002110FE, 0x00211042, "PatientName"),
    (0x00291020,),
    ("ProtocolName",),
    ("DeidentificationMethod",),
)


_NAMES: dict[tuple[str | int, ...], str] = {
    (0x00291020,): "Siemens CSA header (0029,1020)",
    (0x002110FE, 0x00211042, "PatientName"): "Patient's Name, two private sequences deep",
}


def print_account(
    console: Console,
    studies: list[dict[str, Any]],
    totals: dict[str, int],
    sample: Checked | None,
    times: dict[str, float],
) -> None:
    """Print studies, law 2, the before/after table and the times."""
    console.print(_arrived(studies))
    console.print(
        f"\n[bold]Every image accounted for[/bold]\n\n{totals['received']} received = "
        f"{totals['delivered']} delivered + {totals['held']} held + {totals['failed']} failed + "
        f"{totals['in_flight']} in flight\n"
    )
    if sample:
        console.print(_before_after(sample))
    rate = totals["delivered"] / times["delivered"]
    console.print(
        f"\nSent in {times['sent']:.1f} s. The last image was in the research PACS "
        f"{times['delivered']:.1f} s\n"
        f"after the first was sent: {rate:.0f} images/s from end to end."
    )


def _arrived(studies: list[dict[str, Any]]) -> Table:
    table = Table(
        title="What arrived, and what was delivered",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 1),
        pad_edge=False,
        show_edge=False,
    )
    for column in ("study", "called", "assigned", "participant"):
        table.add_column(column, no_wrap=True)
    for column in ("arrived", "delivered", "checked"):
        table.add_column(column, justify="right", no_wrap=True)
    for study in studies:
        good = study["checked"] == study["received"]
        table.add_row(
            study["title"], study["called"], study["by"], study["participant"],
            str(study["received"]), str(study["delivered"]),
            f"[{'green' if good else 'red'}]{study['checked']}[/]",
        )  # fmt: skip
    return table


def _before_after(sample: Checked) -> Table:
    table = Table(
        title="One image, before and after", box=box.SIMPLE_HEAD, title_justify="left",
        padding=(0, 1), pad_edge=False, show_edge=False,
    )  # fmt: skip
    table.add_column("element", style="bold")
    table.add_column("in the clinic", overflow="fold", max_width=48)
    table.add_column("in the research PACS", overflow="fold", max_width=48)
    for path in _TELLING:
        table.add_row(_name(path), _value(sample.original, path), _value(sample.copy, path))
    return table


def _name(path: tuple[str | int, ...]) -> str:
    if path in _NAMES:
        return _NAMES[path]
    return " › ".join(
        dictionary_description(step)
        if isinstance(step, str)
        else f"({step >> 16:04X},{step & 0xFFFF:04X})"
        for step in path
    )


def _value(data_set: Dataset, path: tuple[str | int, ...]) -> str:
    value: Any = data_set
    for place, step in enumerate(path):
        if step not in value:
            return "[dim]–[/dim]"
        value = value[step].value
        if place < len(path) - 1:
            value = value[0]
    if isinstance(value, bytes):
        return _readable(value)
    return str(value) or "[dim](empty)[/dim]"


def _readable(raw: bytes) -> str:
    """What a Siemens CSA header says about the patient."""
    words = [word.decode("latin-1") for word in re.findall(rb"[\x20-\x7e\xc0-\xff]{4,}", raw)]
    place = words.index("PatientName") if "PatientName" in words else -1
    return f"PatientName {words[place + 1]}" if place >= 0 else f"{len(raw)} bytes"
