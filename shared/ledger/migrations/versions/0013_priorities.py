"""Priorities of projects, rules, senders, associations and transfers"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_URGENT = ("project", "peer", "association", "transfer")


def upgrade() -> None:
    for table in _URGENT:
        op.add_column(
            table, sa.Column("priority", sa.String(16), server_default="normal", nullable=False)
        )
    op.add_column("routing_rule", sa.Column("transfer_priority", sa.String(16), nullable=True))


def downgrade() -> None:
    op.drop_column("routing_rule", "transfer_priority")
    for table in reversed(_URGENT):
        op.drop_column(table, "priority")
