"""Imports: what people bring in through the web page"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, Document, UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_OPEN = sa.text("state NOT IN ('accepted', 'discarded')")


def upgrade() -> None:
    op.create_table(
        "imported",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("association_id", sa.String(32), nullable=False),
        sa.Column("project_id", BigId, nullable=False),
        sa.Column("participant", sa.String(64), nullable=True),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("confirmed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("peer_address", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_until", UtcDateTime(), nullable=True),
        sa.Column("counts", Document, server_default="{}", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_imported_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_imported"),
        sa.UniqueConstraint("association_id", name="uq_imported_association_id"),
    )
    op.create_index("ix_imported_project_id", "imported", ["project_id"])
    op.create_index(
        "ix_imported_open", "imported", ["changed_at"], postgresql_where=_OPEN, sqlite_where=_OPEN
    )
    op.create_table(
        "import_file",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("import_id", BigId, nullable=False),
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("path_key", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=True),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imported.id"], name="fk_import_file_import_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_import_file"),
        sa.UniqueConstraint("import_id", "path_key", name="uq_import_file_import_id_path_key"),
        sqlite_autoincrement=True,
    )
    _create_items()
    _create_studies()


def _create_items() -> None:
    op.create_table(
        "import_item",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("import_id", BigId, nullable=False),
        sa.Column("file_id", BigId, nullable=False),
        sa.Column("member", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("why", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(32), nullable=True),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("series_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("modality", sa.String(16), nullable=False),
        sa.Column("burned_in", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imported.id"], name="fk_import_item_import_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["import_file.id"], name="fk_import_item_file_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_import_item"),
        sa.UniqueConstraint("import_id", "digest", name="uq_import_item_import_id_digest"),
    )
    op.create_index("ix_import_item_file_id", "import_item", ["file_id"])
    op.create_index("ix_import_item_import_id_kind", "import_item", ["import_id", "kind", "id"])
    op.create_index(
        "ix_import_item_sop_instance_uid", "import_item", ["import_id", "sop_instance_uid"]
    )


def _create_studies() -> None:
    op.create_table(
        "import_study",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("import_id", BigId, nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("patient_id", sa.String(64), nullable=False),
        sa.Column("patient_name", sa.String(324), nullable=False),
        sa.Column("patient_birth_date", sa.String(8), nullable=False),
        sa.Column("patient_sex", sa.String(16), nullable=False),
        sa.Column("accession_number", sa.String(64), nullable=False),
        sa.Column("study_date", sa.String(8), nullable=False),
        sa.Column("study_description", sa.String(64), nullable=False),
        sa.Column("several_patients", sa.Boolean(), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("transfer_id", BigId, nullable=True),
        sa.Column("objection", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imported.id"], name="fk_import_study_import_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfer.id"], name="fk_import_study_transfer_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_import_study"),
        sa.UniqueConstraint(
            "import_id", "study_instance_uid", name="uq_import_study_import_id_study_instance_uid"
        ),
    )
    op.create_index("ix_import_study_study_instance_uid", "import_study", ["study_instance_uid"])


def downgrade() -> None:
    for table in ("import_study", "import_item", "import_file", "imported"):
        op.drop_table(table)
