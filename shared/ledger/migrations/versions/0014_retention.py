"""Which files were removed, how long they are kept, and legal holds"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_study_kept": ("study", "evicted < instances"),
    "ix_instance_leaving": ("instance", "keeping = 'leaving'"),
    "ix_transfer_copies": ("transfer", "copies_evicted_at IS NULL"),
    "ix_delivery_leaving": ("delivery", "copy_keeping = 'leaving'"),
}


def upgrade() -> None:
    # All with constant defaults: of the large tables no row is written.
    for table in ("study", "series"):
        op.add_column(table, sa.Column("evicted", sa.Integer(), server_default="0", nullable=False))
    for name in ("evicted_at", "promised_at", "held_since"):
        op.add_column("study", sa.Column(name, UtcDateTime(), nullable=True))
    for name, length in (("hold_reason", 200), ("hold_by", 96)):
        op.add_column(
            "study", sa.Column(name, sa.String(length), server_default="", nullable=False)
        )
    for table, name in (("instance", "keeping"), ("delivery", "copy_keeping")):
        op.add_column(table, sa.Column(name, sa.String(8), server_default="here", nullable=False))
    op.add_column("transfer", sa.Column("copies_evicted_at", UtcDateTime(), nullable=True))
    op.add_column("project", sa.Column("keep_originals_days", sa.Integer(), nullable=True))
    op.add_column(
        "project", sa.Column("keep_copies_days", sa.Integer(), server_default="7", nullable=True)
    )
    for name, (table, where) in _INDEXES.items():
        op.create_index(
            name, table, ["id"], postgresql_where=sa.text(where), sqlite_where=sa.text(where)
        )


def downgrade() -> None:
    for name, (table, _) in _INDEXES.items():
        op.drop_index(name, table)
    for table, names in {
        "project": ("keep_copies_days", "keep_originals_days"),
        "transfer": ("copies_evicted_at",),
        "delivery": ("copy_keeping",),
        "instance": ("keeping",),
        "series": ("evicted",),
        "study": ("hold_by", "hold_reason", "held_since", "promised_at", "evicted_at", "evicted"),
    }.items():
        for name in names:
            op.drop_column(table, name)
