"""Which originals a batch is about, and with which plan: read from the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import select

from services.anonymizer.engine import ObjectUids, Plan
from services.anonymizer.jobs import Job
from shared.identity import MasterKey, keyed_uid
from shared.ledger import Connection
from shared.ledger.starting import Place
from shared.ledger.states import DeliveryState
from shared.ledger.tables import (
    Delivery,
    Instance,
    Participant,
    Project,
    Series,
    Study,
    Transfer,
    core,
)
from shared.profile import Action, Profile, load_profile, source_profile
from shared.schemes import Scheme
from shared.spool import Spool

_delivery, _transfer, _instance = core(Delivery), core(Transfer), core(Instance)
_series, _study, _project = core(Series), core(Study), core(Project)
_participant = core(Participant)
_OWN_UIDS = (0x0020000D, 0x0020000E, 0x00080018)
"""StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID: in the order of `ObjectUids`."""


@dataclass(frozen=True)
class Work:
    """One delivery that waits to be de-identified."""

    job: Job
    revision: int
    since: datetime
    """When the delivery came into the state that this is about."""
    transfer_id: int
    series_id: int
    project_id: int
    study_id: int
    released_study_uid: str
    released_sop_uid: str

    @property
    def place(self) -> Place:
        """Where it belongs."""
        return self.transfer_id, self.series_id, self.job.delivery_id


async def load(
    connection: Connection, delivery_ids: Iterable[int], master_key: MasterKey
) -> tuple[list[Work], list[Place]]:
    """What is to be done about deliveries.

    Returns
    -------
    The work, and the deliveries whose copy is made already: a repeated message, or a process that
    ended between commit and publish.
    """
    rows = await connection.execute(
        select(
            _delivery.c.id,
            _delivery.c.state,
            _delivery.c.revision,
            _delivery.c.changed_at,
            _delivery.c.transfer_id,
            _delivery.c.series_id,
            _instance.c.spool_key,
            _instance.c.sop_instance_uid,
            _series.c.series_instance_uid,
            _study.c.id.label("study_id"),
            _study.c.study_instance_uid,
            _transfer.c.event,
            _transfer.c.site,
            _participant.c.pseudonym,
            _project.c.id.label("project_id"),
            _project.c.code,
            _project.c.secret,
            _project.c.date_shift_days,
            _project.c.identifier_scheme,
            _project.c.profile,
        )
        .join_from(_delivery, _instance)
        .join(_series, _series.c.id == _delivery.c.series_id)
        .join(_transfer, _transfer.c.id == _delivery.c.transfer_id)
        .join(_study, _study.c.id == _transfer.c.study_id)
        .join(_project, _project.c.id == _transfer.c.project_id)
        .join(_participant, _participant.c.id == _transfer.c.participant_id)
        .where(
            _delivery.c.id.in_(list(delivery_ids)),
            # A delivery about an older revision is renewed with the newer one.
            _delivery.c.revision == _instance.c.revision,
        )
        .order_by(_delivery.c.id)
    )
    work, made = [], []
    plans: dict[int, Plan] = {}
    for row in rows:
        if row.state == DeliveryState.ANONYMIZED:
            made.append((row.transfer_id, row.series_id, row.id))
        if row.state != DeliveryState.ASSIGNED:
            continue
        if row.transfer_id not in plans:
            plans[row.transfer_id] = plan_of(row, master_key)
        plan = plans[row.transfer_id]
        original = ObjectUids(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
        released = _released(plan, original)
        work.append(
            Work(
                job=Job(
                    row.id,
                    row.spool_key,
                    _target_key(row.transfer_id, row.revision, plan, original),
                    plan,
                    original,
                ),
                revision=row.revision,
                since=row.changed_at,
                transfer_id=row.transfer_id,
                series_id=row.series_id,
                project_id=row.project_id,
                study_id=row.study_id,
                released_study_uid=released.study,
                released_sop_uid=released.instance,
            )
        )
    return work, made


def plan_of(row: Any, master_key: MasterKey) -> Plan:
    """The plan that a row's columns of project, participant and transfer make."""
    return Plan(
        project=row.code,
        key=master_key.decrypt(row.secret),
        participant=row.pseudonym,
        event=row.event,
        site=row.site,
        date_shift_days=row.date_shift_days,
        scheme=Scheme(row.identifier_scheme),
        profile=_profile(row.profile),
    )


@lru_cache(maxsize=256)
def _profile(text: str) -> Profile:
    return load_profile(text) if text else source_profile()


def _released(plan: Plan, original: ObjectUids) -> ObjectUids:
    """The UIDs that the engine will give to the object."""
    names = plan.identifiers(original.study)

    def released(tag: int, uid: str) -> str:
        rule = plan.profile.get(tag)
        if rule is not None and rule.action is Action.KEEP:
            return uid
        return names.uid(tag, rule.action if rule else None, uid)

    return ObjectUids(*map(released, _OWN_UIDS, original))


def _target_key(transfer_id: int, revision: int, plan: Plan, original: ObjectUids) -> str:
    """Where the copy goes. Named by keyed UIDs in every scheme: not all legacy UIDs are legal."""
    series_uid, sop_uid = (keyed_uid(plan.key, uid) for uid in original[1:])
    return Spool.released_key(transfer_id, series_uid, sop_uid, revision)
