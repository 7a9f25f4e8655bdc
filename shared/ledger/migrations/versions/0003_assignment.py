"""Assignment: couplings, labels, counters, recalls"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, Document, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("happened_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_audit_event_happened_at"), ["happened_at"], unique=False
        )

    op.create_table(
        "coupling_entry",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("project_id", BigId, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value_key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("participant", sa.String(64), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("uploaded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_coupling_entry_project_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupling_entry")),
        sa.UniqueConstraint(
            "project_id",
            "kind",
            "value_key",
            name=op.f("uq_coupling_entry_project_id_kind_value_key"),
        ),
    )
    with op.batch_alter_table("coupling_entry", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_coupling_entry_value_key"), ["value_key"], unique=False
        )

    op.create_table(
        "withdrawn_study",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("project_id", BigId, nullable=True),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("withdrawn_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_withdrawn_study_project_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawn_study")),
        sa.UniqueConstraint(
            "project_id",
            "study_instance_uid",
            name=op.f("uq_withdrawn_study_project_id_study_instance_uid"),
        ),
    )
    with op.batch_alter_table("withdrawn_study", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_withdrawn_study_study_instance_uid"),
            ["study_instance_uid"],
            unique=False,
        )

    op.create_table(
        "coupling",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("project_id", BigId, nullable=False),
        sa.Column("participant_id", BigId, nullable=False),
        sa.Column("patient_key", sa.String(64), nullable=False),
        sa.Column("original", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participant.id"], name=op.f("fk_coupling_participant_id")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_coupling_project_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupling")),
        sa.UniqueConstraint(
            "project_id", "patient_key", name=op.f("uq_coupling_project_id_patient_key")
        ),
    )
    with op.batch_alter_table("coupling", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_coupling_participant_id"), ["participant_id"], unique=False
        )

    op.create_table(
        "recall",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("transfer_id", BigId, nullable=False),
        sa.Column("destination_id", BigId, nullable=True),
        sa.Column("released_study_uid", sa.String(64), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("detail", sa.String(200), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["destination.id"], name=op.f("fk_recall_destination_id")
        ),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfer.id"], name=op.f("fk_recall_transfer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recall")),
        sa.UniqueConstraint("transfer_id", name=op.f("uq_recall_transfer_id")),
    )
    with op.batch_alter_table("recall", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recall_state"), ["state"], unique=False)

    op.create_table(
        "study_association",
        sa.Column("study_id", BigId, nullable=False),
        sa.Column("association_id", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["association_id"],
            ["association.id"],
            name=op.f("fk_study_association_association_id"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_study_association_study_id")
        ),
        sa.PrimaryKeyConstraint("study_id", "association_id", name=op.f("pk_study_association")),
    )
    with op.batch_alter_table("study_association", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_study_association_association_id"), ["association_id"], unique=False
        )

    with op.batch_alter_table("destination", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("deletion", sa.String(16), server_default="none", nullable=False)
        )
        batch_op.add_column(
            sa.Column("deletion_url", sa.String(300), server_default="", nullable=False)
        )

    with op.batch_alter_table("project", schema=None) as batch_op:
        batch_op.add_column(sa.Column("site_codes", Document, server_default="{}", nullable=False))

    with op.batch_alter_table("routing_rule", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("trusted", sa.Boolean(), server_default=sa.true(), nullable=False)
        )

    with op.batch_alter_table("series", schema=None) as batch_op:
        batch_op.add_column(sa.Column("labels", Document, server_default="{}", nullable=False))
        batch_op.add_column(
            sa.Column("instances", sa.Integer(), server_default="0", nullable=False)
        )
        batch_op.create_index("ix_series_modality_study_id", ["modality", "study_id"], unique=False)
        batch_op.create_index(
            "ix_series_labels",
            ["labels"],
            unique=False,
            postgresql_using="gin",
            postgresql_ops={"labels": "jsonb_path_ops"},
        )

    with op.batch_alter_table("study", schema=None) as batch_op:
        batch_op.add_column(sa.Column("series", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(
            sa.Column("instances", sa.Integer(), server_default="0", nullable=False)
        )
        batch_op.add_column(sa.Column("settled_at", UtcDateTime(), nullable=True))
        batch_op.create_index(batch_op.f("ix_study_patient_id"), ["patient_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_study_accession_number"), ["accession_number"], unique=False
        )
        batch_op.create_index(
            "ix_study_unsettled",
            ["last_received_at"],
            unique=False,
            postgresql_where=sa.text("settled_at IS NULL"),
            sqlite_where=sa.text("settled_at IS NULL"),
        )
        batch_op.create_index(
            "ix_study_noted",
            ["routing_note"],
            unique=False,
            postgresql_where=sa.text("routing_note != ''"),
            sqlite_where=sa.text("routing_note != ''"),
        )
        batch_op.drop_index(batch_op.f("ix_study_last_received_at"))
        batch_op.create_index(
            batch_op.f("ix_study_first_received_at"), ["first_received_at"], unique=False
        )

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_delivery_troubled",
            ["transfer_id"],
            unique=False,
            postgresql_where=sa.text("reason IS NOT NULL"),
            sqlite_where=sa.text("reason IS NOT NULL"),
        )

    with op.batch_alter_table("transfer", schema=None) as batch_op:
        batch_op.add_column(sa.Column("corrects_id", BigId, nullable=True))
        batch_op.add_column(
            sa.Column("delivered", sa.Integer(), server_default="0", nullable=False)
        )
        batch_op.add_column(sa.Column("held", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("failed", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(
            sa.Column("in_flight", sa.Integer(), server_default="0", nullable=False)
        )
        batch_op.drop_index(batch_op.f("ix_transfer_project_id"))
        batch_op.drop_constraint(batch_op.f("uq_transfer_study_id_project_id"), type_="unique")
        batch_op.create_index(
            "ix_transfer_project_id_state", ["project_id", "state", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_transfer_study_id"), ["study_id"], unique=False)
        batch_op.create_index(
            "uq_transfer_in_force",
            ["study_id", "project_id"],
            unique=True,
            postgresql_where=sa.text("state NOT IN ('cancelled', 'recalled')"),
            sqlite_where=sa.text("state NOT IN ('cancelled', 'recalled')"),
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_transfer_corrects_id"), "transfer", ["corrects_id"], ["id"]
        )
    _count()


def _count() -> None:
    """Fill the counters of what is there already, and who brought it."""
    op.execute(
        "INSERT INTO study_association (study_id, association_id)"
        " SELECT DISTINCT series.study_id, instance.association_id"
        " FROM instance JOIN series ON series.id = instance.series_id"
    )
    op.execute(
        "UPDATE series SET instances ="
        " (SELECT count(*) FROM instance WHERE instance.series_id = series.id)"
    )
    op.execute(
        "UPDATE study SET"
        " series = (SELECT count(*) FROM series WHERE series.study_id = study.id),"
        " instances = (SELECT coalesce(sum(series.instances), 0) FROM series"
        " WHERE series.study_id = study.id)"
    )
    for column, states in (
        ("delivered", "'forwarded'"),
        ("held", "'held'"),
        ("failed", "'failed'"),
        ("in_flight", "'assigned', 'anonymized'"),
    ):
        statement = (
            f"UPDATE transfer SET {column} = (SELECT count(*) FROM delivery"  # noqa: S608 constants
            f" WHERE delivery.transfer_id = transfer.id AND delivery.state IN ({states}))"
        )
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("study_association")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_troubled",
            postgresql_where=sa.text("reason IS NOT NULL"),
            sqlite_where=sa.text("reason IS NOT NULL"),
        )
    with op.batch_alter_table("transfer", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_transfer_corrects_id"), type_="foreignkey")
        batch_op.drop_index(
            "uq_transfer_in_force",
            postgresql_where=sa.text("state NOT IN ('cancelled', 'recalled')"),
            sqlite_where=sa.text("state NOT IN ('cancelled', 'recalled')"),
        )
        batch_op.drop_index(batch_op.f("ix_transfer_study_id"))
        batch_op.drop_index("ix_transfer_project_id_state")
        batch_op.create_unique_constraint(
            batch_op.f("uq_transfer_study_id_project_id"), ["study_id", "project_id"]
        )
        batch_op.create_index(batch_op.f("ix_transfer_project_id"), ["project_id"], unique=False)
        batch_op.drop_column("in_flight")
        batch_op.drop_column("failed")
        batch_op.drop_column("held")
        batch_op.drop_column("delivered")
        batch_op.drop_column("corrects_id")

    with op.batch_alter_table("study", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_study_unsettled",
            postgresql_where=sa.text("settled_at IS NULL"),
            sqlite_where=sa.text("settled_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_study_first_received_at"))
        batch_op.create_index(
            batch_op.f("ix_study_last_received_at"), ["last_received_at"], unique=False
        )
        batch_op.drop_index(
            "ix_study_noted",
            postgresql_where=sa.text("routing_note != ''"),
            sqlite_where=sa.text("routing_note != ''"),
        )
        batch_op.drop_index(batch_op.f("ix_study_patient_id"))
        batch_op.drop_index(batch_op.f("ix_study_accession_number"))
        batch_op.drop_column("settled_at")
        batch_op.drop_column("instances")
        batch_op.drop_column("series")

    with op.batch_alter_table("series", schema=None) as batch_op:
        batch_op.drop_index("ix_series_labels")
        batch_op.drop_index("ix_series_modality_study_id")
        batch_op.drop_column("instances")
        batch_op.drop_column("labels")

    with op.batch_alter_table("routing_rule", schema=None) as batch_op:
        batch_op.drop_column("trusted")

    with op.batch_alter_table("project", schema=None) as batch_op:
        batch_op.drop_column("site_codes")

    with op.batch_alter_table("destination", schema=None) as batch_op:
        batch_op.drop_column("deletion_url")
        batch_op.drop_column("deletion")

    with op.batch_alter_table("recall", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_recall_state"))

    op.drop_table("recall")
    with op.batch_alter_table("coupling", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_coupling_participant_id"))

    op.drop_table("coupling")
    with op.batch_alter_table("withdrawn_study", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_withdrawn_study_study_instance_uid"))

    op.drop_table("withdrawn_study")
    with op.batch_alter_table("coupling_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_coupling_entry_value_key"))

    op.drop_table("coupling_entry")
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_event_happened_at"))

    op.drop_table("audit_event")
