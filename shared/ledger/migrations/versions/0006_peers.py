"""Who may send, and who was not let in"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, UtcDateTime

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


def downgrade() -> None:
    op.drop_table("refusal")
    op.drop_table("peer")
