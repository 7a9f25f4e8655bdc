"""Reads and writes projects."""

import secrets

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.problems import not_found, rule_broken, settled, taken
from services.api.projects.schemas import ProjectChange, ProjectCreate, ProjectRead
from services.api.rights.person import Person
from shared.admission import site_code
from shared.identity import MasterKey, new_project_key
from shared.ledger import auditing
from shared.ledger.tables import Destination, Project, Release
from shared.participants import Template, is_site_code, template
from shared.people import Right
from shared.profile import Action, Profile, load_profile, source_profile
from shared.schemes import Scheme

_SHIFTS = range(-730, -29)
"""Days that a date shift is drawn from: back by a month to two years, so never into the future."""

_MOST_IN_A_YEAR = 99

_OWN_UIDS = (0x0020000D, 0x0020000E, 0x00080018)
"""StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID."""
_DATES_MODIFIED = 0x00280303


async def every(session: AsyncSession) -> list[Project]:
    """All projects, by code."""
    return list(await session.exec(select(Project).order_by(col(Project.code))))


async def get(session: AsyncSession, code: str, *, lock: bool = False) -> Project:
    """One project; a 404 problem when there is none."""
    query = select(Project).where(Project.code == code)
    found = (await session.exec(query.with_for_update() if lock else query)).first()
    if found is None:
        raise not_found("project")
    return found


def as_seen(person: Person, project: Project) -> ProjectRead:
    """A project as a person may see it: without what undoes the de-identification."""
    found = ProjectRead.model_validate(project)
    if not person.may(Right.IDENTIFY, project.id):
        found.date_shift_days = None
    return found


async def next_number(session: AsyncSession, year: int) -> str:
    """The number after the highest of the year, `P26_07`; empty where the year has none left."""
    prefix = f"P{year % 100:02}_"
    taken_ones = await session.exec(
        select(Project.number).where(col(Project.number).startswith(prefix, autoescape=True))
    )
    last = max((int(one[len(prefix) :]) for one in taken_ones if one), default=0)
    return f"{prefix}{last + 1:02}" if last < _MOST_IN_A_YEAR else ""


async def create(
    session: AsyncSession, body: ProjectCreate, master_key: MasterKey, own_ae_title: str
) -> Project:
    """Enter a project with a key of its own; a problem when code or number is taken."""
    if body.code == own_ae_title:
        raise rule_broken("code", "This is Sluse's own AE title.")
    if body.identifier_scheme is not Scheme.KEYED and body.date_shift_days is None:
        # One drawn by lot would part follow-up images from the earlier ones.
        raise rule_broken("date_shift_days", "Give the shift that the earlier system used.")
    await _check_free(session, body)
    values = body.model_dump() | {"secret": master_key.encrypt(new_project_key())}
    if body.date_shift_days is None:
        values["date_shift_days"] = secrets.choice(_SHIFTS)
    project = Project.model_validate(values)
    await _check(session, project)
    _check_dates(project)
    session.add(project)
    try:
        await session.flush()
    except IntegrityError:  # entered at the same moment
        raise taken("code", "Another project has this code or number.") from None
    await auditing.audit(
        await session.connection(), auditing.Action.PROJECT_CREATED, project=project.id
    )
    return project


async def change(session: AsyncSession, project: Project, body: ProjectChange) -> Project:
    """Change what `body` names of a project, which is locked."""
    before = project.profile
    project.sqlmodel_update(body.model_dump(exclude_unset=True))
    await _check(session, project)
    if project.profile != before:
        _check_dates(project)
        if _own_uid_actions(project.profile) != _own_uid_actions(before):
            await _check_nothing_released(session, project)
    session.add(project)
    await session.flush()
    await auditing.audit(
        await session.connection(), auditing.Action.PROJECT_CHANGED, project=project.id,
        fields=sorted(body.model_fields_set), destination=project.destination_id,
    )  # fmt: skip
    return project


_TAKEN = {
    "code": "Another project has this code.",
    "number": "Another project has this number.",
}


async def _check_free(session: AsyncSession, body: ProjectCreate) -> None:
    for field, value in (("code", body.code), ("number", body.number)):
        same = select(Project).where(getattr(Project, field) == value)
        if value is not None and (await session.exec(same)).first():
            raise taken(field, _TAKEN[field])


async def _check(session: AsyncSession, project: Project) -> None:
    _check_sites(project)
    if project.rek_start and project.rek_end and project.rek_end < project.rek_start:
        raise rule_broken("rek_end", "The approval ends before it starts.")
    wanted = project.destination_id
    if wanted is not None and await session.get(Destination, wanted) is None:
        raise rule_broken("destination_id", "There is no such destination.")


def _check_dates(project: Project) -> None:
    rule = _profile(project.profile).get(_DATES_MODIFIED)
    if project.date_shift_days and rule is not None and rule.value == "UNMODIFIED":
        # Images with their true dates would give away the shift of the others.
        raise rule_broken(
            "profile",
            f"It keeps all dates, and this project moves them by {project.date_shift_days} days. "
            "Take the option retain-modified-dates, or enter a project with date_shift_days 0.",
        )


async def _check_nothing_released(session: AsyncSession, project: Project) -> None:
    released = select(Release.id).where(Release.project_id == project.id).limit(1)
    if (await session.exec(released)).first() is not None:
        raise settled(
            "profile",
            "It gives studies, series or images other UIDs than the project's earlier images have, "
            "so images which follow would no longer join them. Enter another project for that, or "
            "leave out what the profile says about these UIDs.",
        )


def _profile(text: str) -> Profile:
    return load_profile(text) if text else source_profile()


def _own_uid_actions(profile: str) -> list[Action | None]:
    rules = map(_profile(profile).get, _OWN_UIDS)
    return [rule.action if rule else None for rule in rules]


def _check_sites(project: Project) -> None:
    """A template that names the site needs sites, each with a code of its own that fits."""
    codes = project.site_codes
    if unknown := sorted(set(codes) - set(project.sites)):
        site = unknown[0]
        raise rule_broken("site_codes", f"The project has no site {site}.")
    made = template(project.participant_pattern or "")
    if made is None or not made.needs_site:
        return
    if not project.sites:
        raise rule_broken("sites", "The pattern names the site: say which sites there are.")
    given: dict[str, str] = {}
    for site in project.sites:
        code = site_code(project, site)
        if not is_site_code(code, project.participant_pattern):
            raise rule_broken("site_codes", _what_fits(made, site, code))
        # Ids of two spellings would be two participants here and one in many a PACS.
        if code.casefold() in given:
            other = given[code.casefold()]
            raise rule_broken("site_codes", f"{other} and {site} have the same code.")
        given[code.casefold()] = site


def _what_fits(made: Template, site: str, code: str) -> str:
    width = next(width for name, width in made.fields if name == "site")
    if width:
        return f"{site}: give a code of {width} letters or digits, not {code}."
    return f"{site}: give a code of 1 to 9 letters or digits, not {code}."
