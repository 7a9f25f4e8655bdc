"""Identifier schemes and profiles of projects"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("project", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("identifier_scheme", sa.String(16), server_default="keyed", nullable=False)
        )
        batch_op.add_column(sa.Column("profile", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("project", schema=None) as batch_op:
        batch_op.drop_column("profile")
        batch_op.drop_column("identifier_scheme")
