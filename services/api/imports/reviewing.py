"""Puts together what a person looks at before an import is accepted."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Integer, cast, func, select

from services.api.imports.patients import Identity, may_be
from services.api.imports.places import Place, places
from services.api.imports.review_schemas import (
    MOST_STUDIES,
    Assigned,
    Code,
    Remark,
    Review,
    StudyFound,
)
from services.api.imports.schemas import FoundCounts
from services.api.imports.service import find, get, require
from shared.identity import MasterKey
from shared.importing import Kind
from shared.ledger import Connection
from shared.ledger.states import ImportState
from shared.ledger.tables import Import, ImportItem, ImportStudy, core

_item, _study = core(ImportItem), core(ImportStudy)


@dataclass
class Images:
    """What a study has, of this import."""

    series: int = 0
    images: int = 0
    bytes: int = 0
    burned_in: int = 0
    instances: int = 0
    """Different SOP Instance UIDs."""
    modalities: list[str] = field(default_factory=list)


async def review(connection: Connection, import_id: int, master_key: MasterKey) -> Review:
    """What was found in an import; a problem while that is not known."""
    found = await find(connection, import_id)
    require(found.state, ImportState.REVIEW)
    counts = (await get(connection, import_id)).found
    studies = await found_studies(connection, import_id)
    shown = studies[:MOST_STUDIES]
    images = await _images(connection, import_id)
    known = await places(connection, found, shown, master_key)
    return Review(
        found=counts,
        warnings=list(_of_import(counts, studies)),
        studies=[
            _shown(found, one, images[one.study_instance_uid], known[one.study_instance_uid])
            for one in shown
        ],
    )


async def found_studies(connection: Connection, import_id: int) -> list[ImportStudy]:
    """The studies that an import has found, by date."""
    rows = await connection.execute(
        select(_study)
        .where(_study.c.import_id == import_id)
        .order_by(_study.c.study_date, _study.c.id)
    )
    return [ImportStudy.model_validate(dict(row)) for row in rows.mappings()]


async def _images(connection: Connection, import_id: int) -> dict[str, Images]:
    which = (_item.c.import_id == import_id) & (_item.c.kind == Kind.IMAGE)
    uid = _item.c.study_instance_uid
    found: dict[str, Images] = defaultdict(Images)
    rows = await connection.execute(
        select(
            uid,
            func.count(_item.c.series_instance_uid.distinct()),
            func.count(),
            func.sum(_item.c.size),
            func.sum(cast(_item.c.burned_in, Integer)),
            func.count(_item.c.sop_instance_uid.distinct()),
        )
        .where(which)
        .group_by(uid)
    )
    for study, series, images, size, burned_in, instances in rows:
        found[study] = Images(series, images, int(size), burned_in, instances)
    modalities = await connection.execute(
        select(uid, _item.c.modality).where(which).distinct().order_by(uid, _item.c.modality)
    )
    for study, modality in modalities:
        if modality:
            found[study].modalities.append(modality)
    return found


def _of_import(counts: FoundCounts, studies: Sequence[ImportStudy]) -> Iterator[Remark]:
    if not studies:
        yield Remark(code=Code.NOTHING, message="No images were found that could be imported.")
    identities = [Identity.of(one.model_dump()) for one in studies]
    if any(not may_be(identities[0], one) for one in identities):
        yield Remark(
            code=Code.SEVERAL_PATIENTS,
            message="The studies are of several patients: a participant is one person. Leave "
            "the participant empty, and each gets an id of their own.",
        )
    if counts.missing:
        yield Remark(
            code=Code.MISSING,
            message=f"The CD's table of contents names {counts.missing} images that are not here. "
            "Read the CD again, or accept what there is.",
        )
    if counts.unreadable:
        yield Remark(
            code=Code.UNREADABLE,
            message=f"{counts.unreadable} DICOM files can't be imported; they are left out.",
        )
    if counts.refused:
        yield Remark(
            code=Code.REFUSED,
            message=f"{counts.refused} ZIPs, or files in ZIPs, are not opened; they are left out.",
        )
    if (number := len(studies)) > MOST_STUDIES:
        yield Remark(
            code=Code.TOO_MANY,
            message=f"There are {number} studies; the first {MOST_STUDIES} are shown. "
            "Import them in smaller parts.",
        )


def _shown(found: Import, study: ImportStudy, images: Images, place: Place) -> StudyFound:
    about: dict[str, Any] = study.model_dump(
        include={"study_instance_uid", "accession_number", "study_date", "study_description"}
        | {"patient_sex", *Identity._fields}
    )
    there = place.in_project
    return StudyFound(
        **about,
        modalities=images.modalities,
        series=images.series,
        images=images.images,
        bytes=images.bytes,
        study_id=place.here.id if place.here else None,
        images_here=place.here.images if place.here else 0,
        assigned=Assigned(**asdict(there)) if there else None,
        known_as=sorted(place.known_as),
        warnings=list(_of_study(found, study, images, place)),
    )


def _of_study(found: Import, study: ImportStudy, images: Images, place: Place) -> Iterator[Remark]:
    yield from _of_content(study, images)
    if place.withdrawn:
        yield Remark(code=Code.WITHDRAWN, message="The study was withdrawn: it can't be taken.")
    if place.here is not None:
        yield Remark(
            code=Code.STUDY_HERE,
            message=f"The study is here already, with {place.here.images} images. What is the same "
            "is not taken twice.",
        )
        if not may_be(Identity.of(study.model_dump()), Identity.of(asdict(place.here))):
            yield Remark(
                code=Code.OTHER_PATIENT_HERE,
                message="The study that is here is of another patient. These images would be held "
                "in the quarantine.",
            )
    there = place.in_project
    if there is not None and found.participant not in (None, there.participant):
        yield Remark(
            code=Code.STUDY_ASSIGNED,
            message=f"The study is in the project already, as {there.participant}. Correct that "
            "transfer instead, if it is wrong.",
        )
    others = sorted(place.known_as - {found.participant or ""})
    if found.participant is not None and others:
        names = ", ".join(others)
        yield Remark(
            code=Code.KNOWN_AS_ANOTHER,
            message=f"The patient is another participant in the project: {names}.",
        )


def _of_content(study: ImportStudy, images: Images) -> Iterator[Remark]:
    if study.several_patients:
        yield Remark(
            code=Code.SEVERAL_PATIENTS,
            message="Images of the study name different patients. Those that differ from the first "
            "ones would be held in the quarantine.",
        )
    if images.burned_in:
        yield Remark(
            code=Code.BURNED_IN,
            message=f"{images.burned_in} images say that text about the patient is in the picture.",
        )
    if repeated := images.images - images.instances:
        yield Remark(
            code=Code.REPEATED,
            message=f"{repeated} images are there in several versions; the last one counts.",
        )
