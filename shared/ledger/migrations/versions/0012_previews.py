"""Previews of what a profile makes of an original"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "preview",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("project_id", BigId, nullable=False),
        sa.Column("transfer_id", BigId, nullable=False),
        sa.Column("instance_id", BigId, nullable=False),
        sa.Column("asked_by", sa.String(64), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("seen", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=True),
        sa.Column("detail", sa.String(200), nullable=False),
        sa.Column("result", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("nudged_at", UtcDateTime(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_preview_project_id")),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfer.id"], name=op.f("fk_preview_transfer_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_preview_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preview")),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_index(op.f("ix_preview_transfer_id"), "preview", ["transfer_id"])
    op.create_index(op.f("ix_preview_instance_id"), "preview", ["instance_id"])
    op.create_index(op.f("ix_preview_asked_by"), "preview", ["asked_by"])
    op.create_index(op.f("ix_preview_asked_at"), "preview", ["asked_at"])


def downgrade() -> None:
    op.drop_table("preview")
