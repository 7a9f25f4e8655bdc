"""What POST requests with a key were answered; what people made of dead letters"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answered_post",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("who", sa.String(96), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("claim", sa.String(32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("etag", sa.String(64), nullable=False, server_default=""),
        sa.Column("body", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answered_post")),
        sa.UniqueConstraint("who", "key_hash", name=op.f("uq_answered_post_who")),
    )
    op.create_index(op.f("ix_answered_post_created_at"), "answered_post", ["created_at"])
    op.add_column(
        "dead_letter", sa.Column("state", sa.String(16), nullable=False, server_default="open")
    )
    op.add_column("dead_letter", sa.Column("settled_at", UtcDateTime(), nullable=True))
    op.add_column(
        "dead_letter", sa.Column("settled_by", sa.String(64), nullable=False, server_default="")
    )
    op.add_column(
        "dead_letter", sa.Column("settled_why", sa.String(200), nullable=False, server_default="")
    )
    op.create_index("ix_dead_letter_state", "dead_letter", ["state", "id"])


def downgrade() -> None:
    op.drop_index("ix_dead_letter_state", "dead_letter")
    for column in ("settled_why", "settled_by", "settled_at", "state"):
        op.drop_column("dead_letter", column)
    op.drop_table("answered_post")
