"""How each destination wants to be treated, and whether transfers were verified there"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _destination() -> list[sa.Column[Any]]:
    return [
        sa.Column("calling_aet", sa.String(16), nullable=True),
        sa.Column("tls", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("associations", sa.Integer(), nullable=False, server_default="2"),
        sa.Column("images_per_second", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("hours", sa.String(11), nullable=False, server_default=""),
        # What was entered before is not asked: nobody has said that it answers.
        sa.Column("verification", sa.String(16), nullable=False, server_default="none"),
    ]


def _transfer() -> list[sa.Column[Any]]:
    return [
        sa.Column("verify_at", UtcDateTime(), nullable=True),
        sa.Column("verify_attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("resent_at", UtcDateTime(), nullable=True),
        sa.Column("missing", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("reason", sa.String(32), nullable=True),
        sa.Column("detail", sa.String(200), nullable=False, server_default=""),
        sa.Column("verified_at", UtcDateTime(), nullable=True),
    ]


def upgrade() -> None:
    for table, columns in (("destination", _destination()), ("transfer", _transfer())):
        for column in columns:
            op.add_column(table, column)
    op.create_index(
        "ix_transfer_verify_at",
        "transfer",
        ["verify_at"],
        postgresql_where=sa.text("state = 'verifying'"),
        sqlite_where=sa.text("state = 'verifying'"),
    )


def downgrade() -> None:
    op.drop_index("ix_transfer_verify_at", table_name="transfer")
    op.execute("UPDATE transfer SET state = 'complete' WHERE state = 'verifying'")
    for table, columns in (("transfer", _transfer()), ("destination", _destination())):
        for column in columns:
            op.drop_column(table, column.name)
