"""Enters arrived files into the ledger, in one transaction per batch."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, update

from services.classifier.arrivals import Arrival, Patient, Unusable
from services.classifier.facts import Facts, incoming_connection
from services.classifier.instances import Entered, record_instances
from services.classifier.labels import FACTS, Classifier, HeaderFacts
from shared.clock import now
from shared.errors import Reason
from shared.ledger import Connection
from shared.ledger.evicting import count_evicted
from shared.ledger.tables import Series, Study, StudyAssociation, core
from shared.ledger.transfers import lock_known
from shared.ledger.writing import clip, insert_or
from shared.spool import Association as Sender
from shared.spool import Spool

_study, _series, _bringer = core(Study), core(Series), core(StudyAssociation)

# Facts that become columns of the study, by the column's name.
_STUDY_COLUMNS = {
    "patient_id": 0x00100020,
    "patient_name": 0x00100010,
    "patient_birth_date": 0x00100030,
    "patient_sex": 0x00100040,
    "accession_number": 0x00080050,
    "study_date": 0x00080020,
    "study_description": 0x00081030,
}
_SERIES_COLUMNS = {
    "modality": 0x00080060,
    "series_number": 0x00200011,
    "series_description": 0x0008103E,
}


@dataclass
class SeriesRow:
    """A series in the ledger."""

    id: int
    study_uid: str
    series_uid: str
    facts: Facts
    """What its first image said, and who brought it."""
    labels: dict[str, Any]
    """What the rules found so far."""
    instances: int
    """How many it has."""


@dataclass
class Recorded(Entered):
    """What a batch changed."""

    series: list[SeriesRow] = field(default_factory=list)
    """Every series that the batch touched."""
    senders: dict[int, set[str]] = field(default_factory=dict)
    """The associations that brought something of each study, by study id."""
    strangers: list[Unusable] = field(default_factory=list)
    """Files of another patient than the rest of their study."""


class Catalogue:
    """Enters the files of one batch.

    Parameters
    ----------
    senders
        Who brought the files, by association.
    classifier
        Labels the series.
    """

    def __init__(
        self,
        connection: Connection,
        spool: Spool,
        senders: dict[str, Sender],
        classifier: Classifier,
    ) -> None:
        self._connection, self._spool = connection, spool
        self._senders, self._classifier = senders, classifier
        self._recorded = Recorded()

    async def record(self, arrivals: list[Arrival]) -> Recorded:
        """Enter studies, series and instances, and give the files their places in the spool.

        Touching a study's row locks it until the transaction ends, so that no transfer of the study
        is expanded meanwhile and no other classifier enters the same instances.
        """
        by_study: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            by_study[arrival.study_uid].append(arrival)
        await lock_known(self._connection, by_study)
        # In one order everywhere, so that two classifiers never wait for each other.
        for _, of_study in sorted(by_study.items()):
            study_id, patient = await self._touch_study(of_study[0])
            same = await self._of_patient(study_id, patient, of_study)
            self._recorded.senders[study_id] = {self._spool.association_of(one.key) for one in same}
            await self._record_study(study_id, same)
        await self._record_bringers()
        return self._recorded

    async def _of_patient(
        self, study_id: int, patient: Patient, arrivals: list[Arrival]
    ) -> list[Arrival]:
        """Those that may be of the study's patient; the others are strangers."""
        same, known = [], patient
        for one in arrivals:
            if known.may_be(one.patient):
                same.append(one)
                known = known.known_from(one.patient)
            else:
                stranger = Unusable(one.key, one.size, Reason.OTHER_PATIENT, "")
                self._recorded.strangers.append(stranger)
        if known != patient:  # the first images did not say whose they are
            columns = {name: clip(_study, name, value) for name, value in known._asdict().items()}
            await self._connection.execute(
                update(_study).where(_study.c.id == study_id).values(columns)
            )
        return same

    async def _record_study(self, study_id: int, arrivals: list[Arrival]) -> None:
        by_series: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            by_series[arrival.series_uid].append(arrival)
        series = instances = 0
        back: dict[int, int] = {}
        for _, of_series in sorted(by_series.items()):
            row = await self._touch_series(study_id, of_series[0])
            entered = await record_instances(self._connection, self._spool, row.id, of_series)
            added = len(entered.new)
            series += row.instances == 0 < added
            instances += added
            row.instances += added
            await self._note(row, of_series)
            self._recorded.series.append(row)
            self._recorded.new += entered.new
            self._recorded.changed += entered.changed
            self._recorded.restored += entered.restored
            back[row.id] = -entered.back
            self._recorded.duplicates += entered.duplicates
        await self._connection.execute(
            update(_study)
            .where(_study.c.id == study_id)
            .values(series=_study.c.series + series, instances=_study.c.instances + instances)
        )
        await count_evicted(self._connection, study_id, back)

    async def _touch_study(self, arrival: Arrival) -> tuple[int, Patient]:
        """Enter a study, or lock it; its id, and whose it is."""
        moment = now()
        columns = {
            name: clip(_study, name, arrival.header.text(tag))
            for name, tag in _STUDY_COLUMNS.items()
        }
        statement = insert_or(self._connection, _study).values(
            study_instance_uid=arrival.study_uid,
            routing_note="",
            first_received_at=moment,
            last_received_at=moment,
            **columns,
        )
        result = await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["study_instance_uid"],
                set_={"last_received_at": moment, "settled_at": None},
            ).returning(_study.c.id, *(_study.c[name] for name in Patient._fields))
        )
        study_id, *patient = result.one()
        return study_id, Patient(*patient)

    async def _touch_series(self, study_id: int, arrival: Arrival) -> SeriesRow:
        """The series' row, made by its first image. The study is locked: nobody else makes it."""
        uids = arrival.study_uid, arrival.series_uid
        rows = await self._connection.execute(
            select(_series.c.id, _series.c.facts, _series.c.labels, _series.c.instances).where(
                _series.c.study_id == study_id, _series.c.series_instance_uid == arrival.series_uid
            )
        )
        if row := rows.first():
            return SeriesRow(row.id, *uids, row.facts, row.labels, row.instances)
        sender = self._senders[self._spool.association_of(arrival.key)]
        facts = arrival.facts | incoming_connection(sender)
        columns = {
            name: clip(_series, name, arrival.header.text(tag))
            for name, tag in _SERIES_COLUMNS.items()
        }
        statement = insert(_series).values(
            study_id=study_id,
            series_instance_uid=arrival.series_uid,
            facts=facts,
            labels={},
            instances=0,
            first_received_at=now(),
            **columns,
        )
        series_id = await self._connection.scalar(statement.returning(_series.c.id))
        return SeriesRow(series_id, *uids, facts, {}, 0)

    async def _note(self, row: SeriesRow, arrivals: list[Arrival]) -> None:
        """Note how many images a series has, and what the rules say of it."""
        row.labels = self._labelled(row, arrivals)
        await self._connection.execute(
            update(_series)
            .where(_series.c.id == row.id)
            .values(instances=row.instances, labels=row.labels)
        )

    def _labelled(self, row: SeriesRow, arrivals: list[Arrival]) -> dict[str, Any]:
        sender = row.facts.get("IncomingConnection", {})
        extra = {name: row.facts[name] for name in FACTS if isinstance(row.facts.get(name), str)}
        extra |= {
            "calling_aet": sender.get("AETitleCaller", ""),
            "called_aet": sender.get("AETitleCalled", ""),
            "peer_address": sender.get("CallerIP", ""),
        }
        state = self._classifier.merge(
            self._classifier.image(HeaderFacts(one.header, extra)) for one in arrivals
        )
        # What other rules said of earlier images is forgotten.
        if before := self._classifier.restore(row.labels.get("state")):
            state |= before
        return {"labels": list(self._classifier.labels(state)), "state": state.to_json()}

    async def _record_bringers(self) -> None:
        rows = [
            {"study_id": study_id, "association_id": association_id}
            for study_id, associations in self._recorded.senders.items()
            for association_id in sorted(associations)
        ]
        if rows:
            await self._connection.execute(
                insert_or(self._connection, _bringer).on_conflict_do_nothing(
                    index_elements=["study_id", "association_id"]
                ),
                rows,
            )
