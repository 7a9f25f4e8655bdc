"""Migrations, on both databases."""

import asyncio

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.engine import Connection

from shared.ledger import Ledger
from shared.ledger.schema import SchemaError, _config, current_revision, migrate, require_current
from shared.ledger.tables import (
    METADATA,
    SentTo,
    Series,
    Study,
    StudyAssociation,
    Transfer,
    core,
)
from shared.runtime import Runtime
from shared.settings import Settings


def _differences(connection: Connection) -> list[object]:
    return compare_metadata(MigrationContext.configure(connection), METADATA)


async def test_the_migrations_make_the_tables_of_the_models(any_runtime: Runtime) -> None:
    async with any_runtime.ledger.reading() as connection:
        assert await connection.run_sync(_differences) == []
    await require_current(any_runtime.ledger)


async def test_the_migrations_can_be_taken_back(any_runtime: Runtime) -> None:
    def back(connection: Connection) -> list[str]:
        command.downgrade(_config(connection), "base")
        return inspect(connection).get_table_names()

    async with any_runtime.ledger.transaction() as connection:
        assert await connection.run_sync(back) == ["alembic_version"]
    assert await current_revision(any_runtime.ledger) is None
    with pytest.raises(SchemaError, match="sluse migrate"):
        await require_current(any_runtime.ledger)


async def test_several_may_migrate_at_once(postgres_url: str) -> None:
    ledgers = [Ledger(Settings(database_url=postgres_url)) for _ in range(3)]
    await asyncio.gather(*(migrate(ledger) for ledger in ledgers))
    await require_current(ledgers[0])
    for ledger in ledgers:
        await ledger.close()


_OLD_ROWS = (
    "INSERT INTO association (id, calling_aet, called_aet, peer_address, opened_at, completed)"
    " VALUES ('a', 'CT', 'SLUSE', '', '2026-01-01 00:00:00', true)",
    "INSERT INTO study (id, study_instance_uid, patient_id, patient_name, patient_birth_date,"
    " patient_sex, accession_number, study_date, study_description, routing_note,"
    " first_received_at, last_received_at)"
    " VALUES (1, '1.2', 'P', '', '', '', '', '', '', '',"
    " '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    "INSERT INTO series (id, study_id, series_instance_uid, modality, series_number,"
    " series_description, facts, first_received_at)"
    " VALUES (1, 1, '1.2.3', 'CT', '1', '', '{}', '2026-01-01 00:00:00')",
    *(
        "INSERT INTO instance (id, series_id, sop_instance_uid, sop_class_uid,"
        " transfer_syntax_uid, spool_key, size, digest, revision, association_id, received_at)"
        f" VALUES ({number}, 1, '1.2.3.{number}', '1', '1', 'k{number}', 1, '', 1, 'a',"
        " '2026-01-01 00:00:00')"
        for number in (1, 2, 3)
    ),
    "INSERT INTO project (id, code, title, principal_investigator, rek_number, events, sites,"
    " date_shift_days, secret, state, created_at)"
    " VALUES (1, 'BICAM', '', '', '', '[]', '[]', 0, '', 'active', '2026-01-01 00:00:00')",
    "INSERT INTO participant (id, project_id, pseudonym, created_at)"
    " VALUES (1, 1, 'B_1', '2026-01-01 00:00:00')",
    "INSERT INTO transfer (id, study_id, project_id, participant_id, event, site, state,"
    " requested_by, requested_at, changed_at)"
    " VALUES (1, 1, 1, 1, '', '', 'running', 'rest', '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    *(
        "INSERT INTO delivery (id, transfer_id, instance_id, series_id, revision, state,"
        " attempts, detail, due_at, nudges, changed_at)"
        f" VALUES ({number}, 1, {number}, 1, 1, '{state}', 0, '',"
        " '2026-01-01 00:00:00', 0, '2026-01-01 00:00:00')"
        for number, state in ((1, "forwarded"), (2, "held"), (3, "anonymized"))
    ),
)


async def test_what_an_earlier_release_stored_is_counted(any_runtime: Runtime) -> None:
    def back(connection: Connection) -> None:
        command.downgrade(_config(connection), "0002")

    ledger = any_runtime.ledger
    async with ledger.transaction() as connection:
        await connection.run_sync(back)
        for statement in _OLD_ROWS:
            await connection.execute(text(statement))
    await migrate(ledger)
    async with ledger.reading() as connection:
        series, study, transfer = [
            (await connection.execute(select(core(table)))).one()
            for table in (Series, Study, Transfer)
        ]
        bringers = (await connection.execute(select(core(StudyAssociation)))).all()
    assert (study.series, study.instances, series.instances) == (1, 3, 3)
    assert [tuple(row) for row in bringers] == [(1, "a")]
    assert (transfer.delivered, transfer.held, transfer.failed, transfer.in_flight) == (1, 1, 0, 1)


_ROWS_OF_0003 = (
    "INSERT INTO destination (id, name, ae_title, host, port, deletion, deletion_url, created_at)"
    " VALUES (1, 'pacs', 'PACS', 'localhost', 104, 'none', '', '2026-01-01 00:00:00'),"
    " (2, 'old', 'OLD', 'localhost', 104, 'none', '', '2026-01-01 00:00:00')",
    "UPDATE project SET destination_id = 1",
    "UPDATE delivery SET released_sop_uid = '2.25.' || id WHERE id IN (1, 3)",
    # It went to the project's former destination, and was taken back.
    "INSERT INTO study (id, study_instance_uid, patient_id, patient_name, patient_birth_date,"
    " patient_sex, accession_number, study_date, study_description, routing_note,"
    " first_received_at, last_received_at)"
    " VALUES (2, '1.4', 'P', '', '', '', '', '', '', '',"
    " '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    "INSERT INTO transfer (id, study_id, project_id, participant_id, event, site, state,"
    " requested_by, requested_at, changed_at) VALUES (2, 2, 1, 1, '', '', 'recalled', 'rest',"
    " '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
    "INSERT INTO delivery (id, transfer_id, instance_id, series_id, revision, state, attempts,"
    " detail, due_at, nudges, changed_at, released_sop_uid) VALUES (4, 2, 1, 1, 1, 'withdrawn', 0,"
    " '', '2026-01-01 00:00:00', 0, '2026-01-01 00:00:00', '2.25.4')",
    "INSERT INTO recall (id, transfer_id, destination_id, released_study_uid, instances, state,"
    " detail, asked_at, due_at, attempts) VALUES (1, 2, 2, '2.25.9', 1, 'asked', '',"
    " '2026-01-02 00:00:00', '2026-01-02 00:00:00', 0)",
)


async def test_where_an_earlier_release_sent_to_is_known(any_runtime: Runtime) -> None:
    def back(connection: Connection) -> None:
        command.downgrade(_config(connection), "0003")

    ledger = any_runtime.ledger
    async with ledger.transaction() as connection:
        await connection.run_sync(back)
        for statement in (*_OLD_ROWS, *_ROWS_OF_0003):
            await connection.execute(text(statement))
    await migrate(ledger)
    async with ledger.transaction() as connection:
        places = await connection.execute(select(core(SentTo)).order_by(core(SentTo).c.transfer_id))
        assert [row[:2] for row in places] == [(1, 1), (2, 2)]
        withdrawn = await connection.scalars(select(core(Transfer).c.withdrawn))
        assert sorted(withdrawn) == [0, 1]
        # Two places of one transfer: the earlier release knows one, the one that is least done.
        await connection.execute(
            text(
                "INSERT INTO recall (id, transfer_id, destination_id, released_study_uid,"
                " instances, state, detail, asked_at, due_at, attempts) VALUES (2, 2, 1, '2.25.9',"
                " 1, 'done', '', '2026-01-02 00:00:00', '2026-01-02 00:00:00', 0)"
            )
        )
        await connection.run_sync(back)
        assert (await connection.scalars(text("SELECT id FROM recall"))).all() == [1]
