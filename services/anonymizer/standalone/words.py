"""The summary of a run as a tired person reads it."""

from pathlib import Path

from services.anonymizer.engine import Plan
from services.anonymizer.standalone.inputs import printable
from services.anonymizer.standalone.outcomes import Files, OutcomeKind, Summary

_PATIENTS_SHOWN = 5


def in_words(
    summary: Summary, output: Path, plan: Plan, *, dry_run: bool = False, stopped: bool = False
) -> str:
    """What happened, a line each; what did not is left out, except for what everybody looks for."""
    counts, folder = summary.counts, printable(output / plan.participant)
    written = "would be written" if dry_run else "written"
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(summary.skipped.items()))
    rows = [
        ("found", summary.found, "files"),
        ("patients", summary.patients, "become one participant"),
        (written, counts[OutcomeKind.WRITTEN], f"in {folder}"),
        ("already there", counts[OutcomeKind.ALREADY_THERE], "the same copy, left as it is"),
        ("twice in the input", counts[OutcomeKind.TWICE], "their copy is there once"),
        ("skipped", counts[OutcomeKind.SKIPPED], kinds),
        ("held", counts[OutcomeKind.HELD], "without a copy" if counts[OutcomeKind.HELD] else ""),
        ("not looked at", summary.found - summary.seen, ""),
    ]
    always = {"found", written, "held"}
    lines = [f"Participant {plan.participant} of project {plan.project}"]
    lines += [
        f"  {name:<18} {count:>8}  {remark}".rstrip()
        for name, count, remark in rows
        if count > (name == "patients") or name in always
    ]
    for words, files in sorted(summary.held.items(), key=lambda one: (-one[1].count, one[0])):
        lines.append(f"    {files.count} held: {words}")
        lines += _names(files)
    return "\n".join(lines + _remarks(summary, plan, dry_run=dry_run, stopped=stopped))


def patients_in_words(patients: list[Files]) -> str:
    """Why nothing was done with files of several patients, and what to do; nobody is named."""
    lines = [f"IN holds files of {len(patients)} patients, and all of it becomes one participant."]
    for number, files in enumerate(patients[:_PATIENTS_SHOWN], start=1):
        lines.append(f"  patient {number}: {files.count} files")
        lines += _names(files)
    if len(patients) > _PATIENTS_SHOWN:
        lines.append(f"  and {len(patients) - _PATIENTS_SHOWN} patients more")
    lines.append(
        "Nothing was done. Give each patient's files a run of their own; or, if they are all one "
        "person's, add --several-patients."
    )
    return "\n".join(lines)


def _names(files: Files) -> list[str]:
    names = [f"      {name}" for name in files.first]
    more = files.count - len(files.first)
    return [*names, f"      and {more} more"] if more else names


def _remarks(summary: Summary, plan: Plan, *, dry_run: bool, stopped: bool) -> list[str]:
    remarks = []
    if stopped:
        remarks.append(
            "Stopped. No half file was left; the same command, run again, does the rest."
        )
    elif summary.found == summary.counts[OutcomeKind.SKIPPED]:
        remarks.append("There was no DICOM file in the input.")
    if summary.warnings:
        remarks.append(
            f"{summary.warnings} oddities were dealt with; a report (--report) names them."
        )
    if not plan.date_shift_days:
        remarks.append("All dates were kept: --date-shift moves them.")
    if dry_run:
        remarks.append("This was a dry run: nothing was written.")
    return remarks
