"""Holds a coupling list against its project: what is wrong with which row, and what it changes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from services.api.admitting import field_errors
from services.api.coupling_lists.cells import PARTICIPANT
from services.api.coupling_lists.reading import Complaint, CouplingList, Line
from shared.admission import refusals
from shared.identity import MasterKey
from shared.ledger.coupling_lists import Key, Target
from shared.ledger.couplings import Kind
from shared.ledger.tables import Project


class Known(NamedTuple):
    """What the ledger holds."""

    stored: dict[Key, Target]
    """The list as it is."""
    coupled: dict[str, str]
    """The participants that patients are, by the keyed hash of the patient id."""


@dataclass
class Verdict:
    """What a list comes to."""

    wrong: list[Complaint] = field(default_factory=list)
    warnings: list[Complaint] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    """Rows with nothing wrong, by what they do to the list."""
    entries: dict[Key, tuple[str, Target]] = field(default_factory=dict)
    """What those rows say: the value in clear, and whose it is."""


class _Keyed(NamedTuple):
    line: Line
    keys: dict[Kind, Key]

    @property
    def target(self) -> Target:
        return Target(self.line.participant, self.line.event, self.line.site)

    @property
    def assigning(self) -> dict[Kind, Key]:
        """The keys by which studies are taken. A row that names a study means that one: the
        patient id beside it must not bring the patient's other studies along.
        """
        named = [kind for kind in self.keys if kind is not Kind.PATIENT]
        return {kind: self.keys[kind] for kind in named} or self.keys


def check(found: CouplingList, project: Project, known: Known, master_key: MasterKey) -> Verdict:
    """Hold a list against its project and what is known there."""
    lines = [
        _Keyed(
            line,
            {kind: Key(kind, master_key.index(kind, value)) for kind, value in line.keys.items()},
        )
        for line in found.lines
    ]
    verdict = Verdict(remarks=[*found.remarks, *_about_project(project), *_about_keys(lines)])
    verdict.wrong += found.wrong
    for one in lines:
        verdict.wrong += _refused(one.line, project, found.headings)
        verdict.wrong += _known_otherwise(one, known, found.headings)
    verdict.wrong += _contradictions(lines, found.headings)
    verdict.wrong.sort(key=lambda one: one.row)
    wrong = {one.row for one in verdict.wrong}
    good = [one for one in lines if one.line.row not in wrong]
    verdict.warnings += _shared_participants(good, known, found.headings)
    _weigh(good, known, found.headings, verdict)
    verdict.warnings.sort(key=lambda one: one.row)
    return verdict


def _about_project(project: Project) -> Iterable[str]:
    """What keeps the project from taking images for the time being; the list may wait there."""
    for one in refusals(project, "", "", "", patient_id=""):
        if one.field == "project":
            yield f"{one.objection.in_words} Until that is mended, the list brings in nothing."


def _about_keys(lines: list[_Keyed]) -> Iterable[str]:
    if both := sum(Kind.PATIENT in one.keys.keys() - one.assigning.keys() for one in lines):
        yield (
            f"{both} rows name a study and a patient id: they bring in that study only, not the "
            "patient's others."
        )


def _refused(line: Line, project: Project, headings: dict[str, str]) -> Iterable[Complaint]:
    """What the gate will say."""
    against = refusals(
        project,
        line.participant,
        line.event,
        line.site,
        patient_id=line.keys.get(Kind.PATIENT, ""),
    )
    about_row = [one for one in against if one.field != "project"]
    for error in field_errors(about_row, project):
        yield Complaint(line.row, headings.get(error.field, error.field), error.message)


def _known_otherwise(one: _Keyed, known: Known, headings: dict[str, str]) -> Iterable[Complaint]:
    patient = one.keys.get(Kind.PATIENT)
    other = known.coupled.get(patient.value_key) if patient else None
    if other not in (None, one.line.participant):
        message = f"This patient is participant {other} in this project already."
        yield Complaint(one.line.row, headings[PARTICIPANT], message)


def _contradictions(lines: list[_Keyed], headings: dict[str, str]) -> Iterable[Complaint]:
    """Every row that says otherwise than another: which of them is right, nobody here knows."""
    said: dict[tuple[str, Key], dict[object, int]] = {}
    for one in lines:
        for subject, what in _statements(one):
            sayings = said.setdefault(subject, {})
            if len(sayings) < 2:  # of two one is another's in any case
                sayings.setdefault(what, one.line.row)
    for one in lines:
        for (aspect, key), what in _statements(one):
            others = [row for other, row in said[aspect, key].items() if other != what]
            if others:
                message = _contradicted(aspect, others[0], Kind(key.kind))
                yield Complaint(one.line.row, headings[Kind(key.kind)], message)
                break


def _contradicted(aspect: str, row: int, key: Kind) -> str:
    key_in_words = _NAMES[key]
    if aspect == "participant":
        return f"Row {row} says another participant for the same {key_in_words}."
    return f"Row {row} says another event or site for the same {key_in_words}."


_NAMES = {Kind.STUDY: "study", Kind.ACCESSION: "accession number", Kind.PATIENT: "patient"}


def _statements(one: _Keyed) -> Iterable[tuple[tuple[str, Key], object]]:
    """What a row says: aspect and key, and what it says there."""
    for key in one.keys.values():
        yield ("participant", key), one.line.participant
    for key in one.assigning.values():
        yield ("event or site", key), one.target


def _shared_participants(
    lines: list[_Keyed], known: Known, headings: dict[str, str]
) -> Iterable[Complaint]:
    """Participants that are two patients. A person may have had two ids, so it is no mistake yet,
    but the gate will want it confirmed.
    """
    patients = {participant: (key, 0) for key, participant in known.coupled.items()}
    for one in lines:
        if patient := one.keys.get(Kind.PATIENT):
            participant = one.line.participant
            first, row = patients.setdefault(participant, (patient.value_key, one.line.row))
            if first != patient.value_key:
                message = _two_patients(participant, row)
                yield Complaint(one.line.row, headings[PARTICIPANT], message)


def _two_patients(participant: str, row: int) -> str:
    if not row:
        return (
            f"{participant} has another patient id as well. Where both are the same person, you "
            "will have to confirm that when the study is here."
        )
    return (
        f"{participant} has another patient id as well (row {row}). Where both are the same "
        "person, you will have to confirm that when the study is here."
    )


def _weigh(lines: list[_Keyed], known: Known, headings: dict[str, str], verdict: Verdict) -> None:
    """Find what the rows change of the list as it is."""
    listed = dict(known.stored)
    for one in lines:
        before = {listed.get(key) for key in one.assigning.values()}
        for kind, key in one.assigning.items():
            listed[key] = one.target
            verdict.entries[key] = one.line.keys[kind], one.target
        if before == {one.target}:
            verdict.unchanged += 1
        elif before == {None}:
            verdict.new += 1
        else:
            verdict.changed += 1
            for target in before - {None, one.target}:
                said = ", ".join(filter(None, target or ()))
                message = f"The list said {said} before."
                verdict.warnings.append(Complaint(one.line.row, headings[PARTICIPANT], message))
