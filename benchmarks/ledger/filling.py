"""Fills a ledger with years of a hospital's research, always the same.

The database makes the rows itself, which is as fast as COPY and sends nothing: `n` is a row's
number, and what differs between rows is arithmetic on it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

PROJECTS = 30
DAYS = 3 * 365
BEGIN = "timestamptz '2021-01-01 06:00+00'"

_UID = "'1.2.826.0.1.3680043.8.498.'"
_LONG = "'10012345678901234567890123'"  # UIDs of this length are common


@dataclass(frozen=True)
class Size:
    """How many there are to be."""

    studies: int
    series: int
    """Per study, on average."""
    instances: int
    """Per series, on average."""


def statements(size: Size) -> Iterator[tuple[str, str]]:
    """What fills the ledger: a table's name, and the statement."""
    yield "destination", _DESTINATION
    yield "project", _PROJECT
    yield "association", _association(size.studies)
    yield "study", _study(size.studies)
    yield "study_association", _STUDY_ASSOCIATION
    yield "series", _series(size)
    yield "instance", _INSTANCE
    yield "study, counted", _COUNT_STUDY
    yield "participant", _PARTICIPANT
    yield "transfer", _TRANSFER
    yield "release", _RELEASE
    yield "delivery", _DELIVERY
    yield "transfer, counted", _COUNT_TRANSFER


async def fill(engine: AsyncEngine, size: Size) -> None:
    """Fill the ledger, and let the database take stock as it does by itself in time."""
    async with engine.connect() as connection:
        settled = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await settled.exec_driver_sql("SET maintenance_work_mem = '512MB'")
        await settled.exec_driver_sql("SET synchronous_commit = off")
        for name, statement in statements(size):
            began = time.perf_counter()
            result = await settled.exec_driver_sql(statement)
            seconds = time.perf_counter() - began
            print(f"{name}: {result.rowcount:,} rows in {seconds:.1f} s", flush=True)
        await settled.exec_driver_sql("VACUUM ANALYZE")


_DESTINATION = f"""
INSERT INTO destination (name, ae_title, host, port, created_at)
VALUES ('pacs', 'PACS', '127.0.0.1', 104, {BEGIN})"""

_PROJECT = f"""
INSERT INTO project (code, title, principal_investigator, rek_number, events, sites,
                     destination_id, date_shift_days, secret, state, created_at)
SELECT 'PROJ' || n, '', '', '', '["baseline", "year1", "year2"]', '[]', 1, 0, '', 'active', {BEGIN}
FROM generate_series(1, {PROJECTS}) AS n"""


def _association(studies: int) -> str:
    return f"""
INSERT INTO association (id, calling_aet, called_aet, peer_address, opened_at, closed_at, completed)
SELECT md5(n::text), 'SCANNER' || n % 9, 'SLUSE', '10.0.0.' || n % 9, at, at, true
FROM (SELECT n, {BEGIN} + n * interval '1 day' * {DAYS} / {studies} AS at
      FROM generate_series(1, {studies}) AS n) AS numbered"""


def _study(studies: int) -> str:
    # A patient in two has a second study; the last twenty are still arriving.
    return f"""
INSERT INTO study (study_instance_uid, patient_id, patient_name, patient_birth_date, patient_sex,
                   accession_number, study_date, study_description, routing_note,
                   first_received_at, last_received_at, settled_at)
SELECT {_UID} || {_LONG} || n, lpad((n * 7919 % ({studies} * 2 / 3))::text, 11, '0'),
       'Family' || n % 977 || '^Given' || n % 463, '19700101', 'F', 'A' || 10000000 + n,
       to_char(at - (n * 31 % 40) * interval '1 day', 'YYYYMMDD'), 'MR brain ' || n % 50,
       CASE WHEN n % 200 = 0 THEN 'participant-pattern' ELSE '' END, at, at,
       CASE WHEN n <= {studies} - 20 THEN at END
FROM (SELECT n, {BEGIN} + n * interval '1 day' * {DAYS} / {studies} AS at
      FROM generate_series(1, {studies}) AS n) AS numbered"""


_STUDY_ASSOCIATION = """
INSERT INTO study_association SELECT id, md5(id::text) FROM study"""

_FACTS = """
jsonb_build_object(
  'SOPClassUID', '1.2.840.10008.5.1.4.1.1.4', 'ImageType', 'ORIGINAL\\PRIMARY\\M\\ND\\NORM',
  'StudyDate', study_date, 'StudyTime', '101112.000000', 'SeriesTime', '101500.000000',
  'AccessionNumber', accession_number, 'Modality', 'MR', 'Manufacturer', 'SIEMENS',
  'InstitutionName', 'University Hospital', 'StationName', 'MR' || n, 'StudyDescription',
  study_description, 'SeriesDescription', 'protocol ' || n, 'OperatorsName', 'op',
  'ManufacturerModelName', 'Prisma', 'PatientName', patient_name, 'PatientID', patient_id,
  'PatientSex', 'F', 'ScanningSequence', 'SE\\IR', 'SequenceVariant', 'SK\\SP\\MP',
  'ScanOptions', 'IR\\PFP', 'SequenceName', '*spcir_242ns', 'SliceThickness', '1',
  'RepetitionTime', '5000', 'EchoTime', '388', 'SoftwareVersion', 'syngo MR E11',
  'AcquisitionMatrix', '0\\256\\256\\0', 'StudyInstanceUID', study_instance_uid,
  'SeriesInstanceUID', study_instance_uid || '.' || n, 'SeriesNumber', n, 'InstanceNumber', '1',
  'SliceLocation', '-87.31', '0051,100f', 'T:HEA;HEP', 'called_aet', 'SLUSE')"""


def _series(size: Size) -> str:
    # Some modalities and labels are common, some rare: one study in a thousand has an XA series.
    return f"""
INSERT INTO series (id, study_id, series_instance_uid, modality, series_number, series_description,
                    facts, labels, instances, first_received_at)
SELECT number, id, study_instance_uid || '.' || n,
       CASE WHEN id % 1000 = 7 AND n = 1 THEN 'XA' WHEN id % 10 < 6 THEN 'MR'
            WHEN id % 10 < 9 THEN 'CT' ELSE 'US' END,
       n, 'protocol ' || n, {_FACTS},
       jsonb_build_object('labels', jsonb_build_array(
         CASE WHEN id % 997 = 5 AND n = 1 THEN 'phantom' WHEN n % 5 = 0 THEN 'FLAIR'
              WHEN n % 5 < 3 THEN 'T1' ELSE 'T2' END, 'original', 'siemens'), 'version', 1),
       1 + number * 31 % (2 * {size.instances} - 1), first_received_at
FROM (SELECT study.*, n, row_number() OVER (ORDER BY id, n) AS number
      FROM study, generate_series(1, 1 + (id * 7919 % (2 * {size.series} - 1))::int) AS n
     ) AS numbered
ORDER BY number"""


_INSTANCE = """
INSERT INTO instance (series_id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, spool_key,
                      size, digest, revision, association_id, received_at)
SELECT series.id, series_instance_uid || '.' || n, '1.2.840.10008.5.1.4.1.1.4',
       '1.2.840.10008.1.2.1', 'received/' || substr(md5(series.id::text), 1, 2) || '/'
       || series_instance_uid || '/' || series_instance_uid || '.' || n || '-1.dcm',
       535000, md5(series.id::text || '/' || n), 1, md5(study_id::text), first_received_at
FROM series, generate_series(1, series.instances) AS n
ORDER BY series.id, n"""

_COUNT_STUDY = """
UPDATE study SET series = counted.series, instances = counted.instances
FROM (SELECT study_id, count(*) AS series, sum(instances) AS instances
      FROM series GROUP BY study_id) AS counted
WHERE study.id = counted.study_id"""

# Nine studies in ten are in a project, one in twenty in two. The first projects have the most.
_ASSIGNED = f"""
SELECT id AS study_id, patient_id, first_received_at AS at, id * 13 % 1000 AS lot,
       1 + floor({PROJECTS} * power(id * 7919 % 1000 / 1000.0, 2))::int AS project_id
FROM study WHERE id % 10 > 0
UNION
SELECT id, patient_id, first_received_at, 999,
       1 + floor({PROJECTS} * power(id * 7919 % 1000 / 1000.0, 2) + 1)::int % {PROJECTS}
FROM study WHERE id % 20 = 1"""

_PARTICIPANT = f"""
INSERT INTO participant (project_id, pseudonym, created_at)
SELECT project_id, 'P_' || patient_id, min(at) FROM ({_ASSIGNED}) AS assigned
GROUP BY project_id, patient_id ORDER BY min(at)"""

_TRANSFER = f"""
INSERT INTO transfer (study_id, project_id, participant_id, event, site, state, requested_by,
                      requested_at, changed_at)
SELECT study_id, assigned.project_id, participant.id,
       (ARRAY['baseline', 'year1', 'year2'])[1 + study_id % 3], '',
       CASE WHEN lot < 10 THEN 'cancelled' WHEN lot < 30 THEN 'attention'
            WHEN lot < 35 THEN 'running' WHEN lot < 38 THEN 'requested' ELSE 'complete' END,
       'rule', at, at
FROM ({_ASSIGNED}) AS assigned
JOIN participant ON participant.project_id = assigned.project_id
                AND participant.pseudonym = 'P_' || patient_id
ORDER BY at, assigned.project_id"""

_RELEASE = """
INSERT INTO release (project_id, study_id, released_study_uid, released_at)
SELECT project_id, study_id, '2.25.' || ('x' || md5(project_id || '/' || study_id))::bit(60)::int8,
       requested_at
FROM transfer WHERE state <> 'requested' ORDER BY id"""

_DELIVERY = """
INSERT INTO delivery (transfer_id, instance_id, series_id, revision, state, released_sop_uid,
                      released_key, attempts, reason, detail, due_at, nudges, changed_at)
SELECT transfer.id, instance.id, series.id, 1, step.state,
       '2.25.3100000000000000000000000000' || instance.id,
       'released/' || transfer.id || '/2.25.3100000000000000000000000000/'
       || '2.25.3100000000000000000000000000' || instance.id || '-1.dcm',
       0, CASE step.state WHEN 'held' THEN 'not-deidentifiable'
                          WHEN 'failed' THEN 'destination-refused' END,
       CASE step.state WHEN 'failed' THEN 'A900' ELSE '' END, requested_at, 0, requested_at
FROM transfer
JOIN series ON series.study_id = transfer.study_id
JOIN instance ON instance.series_id = series.id
CROSS JOIN LATERAL (SELECT CASE
    WHEN transfer.state = 'cancelled' THEN 'withdrawn'
    WHEN transfer.state = 'attention' AND instance.id % 20 = 0 THEN 'held'
    WHEN transfer.state = 'attention' AND instance.id % 20 = 1 THEN 'failed'
    WHEN transfer.state = 'running' AND instance.id % 2 = 0 THEN 'anonymized'
    ELSE 'forwarded' END AS state) AS step
WHERE transfer.state <> 'requested'
ORDER BY transfer.id, instance.id"""

_COUNT_TRANSFER = """
UPDATE transfer SET delivered = counted.delivered, held = counted.held, failed = counted.failed,
                    in_flight = counted.in_flight
FROM (SELECT transfer_id, count(*) FILTER (WHERE state = 'forwarded') AS delivered,
             count(*) FILTER (WHERE state = 'held') AS held,
             count(*) FILTER (WHERE state = 'failed') AS failed,
             count(*) FILTER (WHERE state IN ('assigned', 'anonymized')) AS in_flight
      FROM delivery GROUP BY transfer_id) AS counted
WHERE transfer.id = counted.transfer_id"""
