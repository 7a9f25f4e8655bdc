"""Who may send, who was not let in, and who wants to know what is safe here"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, Document, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "peer",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("calling_aet", sa.String(16), nullable=True),
        sa.Column("addresses", sa.String(64), nullable=False, server_default=""),
        sa.Column("username", sa.String(64), nullable=True),
        sa.Column("password_hash", sa.String(200), nullable=False, server_default=""),
        sa.Column("report_host", sa.String(253), nullable=False, server_default=""),
        sa.Column("report_port", sa.Integer(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_peer")),
        sa.UniqueConstraint("name", name=op.f("uq_peer_name")),
    )
    op.create_table(
        "refusal",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("calling_aet", sa.String(24), nullable=False),
        sa.Column("called_aet", sa.String(24), nullable=False),
        sa.Column("peer_address", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusal")),
        sa.UniqueConstraint(
            "calling_aet", "called_aet", "peer_address", "reason",
            name=op.f("uq_refusal_calling_aet_called_aet_peer_address_reason"),
        ),
    )  # fmt: skip
    op.create_index(op.f("ix_refusal_last_at"), "refusal", ["last_at"])
    op.create_table(
        "commitment",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("calling_aet", sa.String(16), nullable=False),
        sa.Column("called_aet", sa.String(16), nullable=False),
        sa.Column("peer_address", sa.String(64), nullable=False),
        sa.Column("items", Document, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment")),
        sa.UniqueConstraint(
            "calling_aet", "transaction_uid", name=op.f("uq_commitment_calling_aet_transaction_uid")
        ),
    )
    op.create_index(op.f("ix_instance_sop_instance_uid"), "instance", ["sop_instance_uid"])
    op.create_index(
        "ix_commitment_due_at",
        "commitment",
        ["due_at"],
        postgresql_where=sa.text("state = 'asked'"),
        sqlite_where=sa.text("state = 'asked'"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_instance_sop_instance_uid"), table_name="instance")
    op.drop_table("commitment")
    op.drop_table("refusal")
    op.drop_table("peer")
