"""Destinations over DICOMweb, and what they were asked to keep (storage commitment)"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, Document, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("protocol", sa.String(16), nullable=False, server_default="dimse"),
        sa.Column("url", sa.String(300), nullable=False, server_default=""),
        sa.Column("credentials", sa.String(64), nullable=False, server_default=""),
        sa.Column("transfer_syntax", sa.String(64), nullable=False, server_default=""),
    ]


def _replace(column: sa.Column[Any], value: str) -> None:
    """Make a column anew: SQLite changes none, and drops no table that others refer to.

    Parameters
    ----------
    value
        SQL for what is in it, from the one that it replaces.
    """
    name = column.name
    op.execute(f"ALTER TABLE destination RENAME COLUMN {name} TO former_{name}")
    op.add_column("destination", column)
    op.execute(f"UPDATE destination SET {name} = {value}")  # noqa: S608 (nothing from outside)
    op.drop_column("destination", f"former_{name}")


def upgrade() -> None:
    for column in _columns():
        op.add_column("destination", column)
    _replace(sa.Column("ae_title", sa.String(16), nullable=True), "former_ae_title")
    _replace(sa.Column("host", sa.String(253), nullable=True), "former_host")
    _replace(sa.Column("port", sa.Integer(), nullable=True), "former_port")
    _replace(sa.Column("hours", sa.String(200), nullable=False, server_default=""), "former_hours")
    op.create_table(
        "inquiry",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("transfer_id", BigId, nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("safe", Document, nullable=True),
        sa.Column("lost", Document, nullable=True),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfer.id"], name=op.f("fk_inquiry_transfer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inquiry")),
        sa.UniqueConstraint("transaction_uid", name=op.f("uq_inquiry_transaction_uid")),
    )
    op.create_index(op.f("ix_inquiry_transfer_id"), "inquiry", ["transfer_id"])


def downgrade() -> None:
    op.drop_table("inquiry")
    op.execute("UPDATE destination SET verification = 'query' WHERE verification = 'commitment'")
    # What goes over DICOMweb can't be said in the older ledger: its images wait for an address.
    for name, kind, otherwise in (
        ("ae_title", sa.String(16), "NONE"), ("host", sa.String(253), "localhost"),
        ("port", sa.Integer(), "1"),
    ):  # fmt: skip
        _replace(
            sa.Column(name, kind, nullable=False, server_default=otherwise),
            f"coalesce(former_{name}, {otherwise if name == 'port' else repr(otherwise)})",
        )
    _replace(
        sa.Column("hours", sa.String(11), nullable=False, server_default=""),
        "CASE WHEN length(former_hours) > 11 THEN '' ELSE former_hours END",
    )
    for column in reversed(_columns()):
        op.drop_column("destination", column.name)
