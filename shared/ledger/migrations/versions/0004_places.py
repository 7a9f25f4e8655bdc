"""Where each transfer's images went, a recall for each of those places, what was withdrawn"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sent_to",
        sa.Column("transfer_id", BigId, nullable=False),
        sa.Column("destination_id", BigId, nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["destination.id"], name=op.f("fk_sent_to_destination_id")
        ),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfer.id"], name=op.f("fk_sent_to_transfer_id")
        ),
        sa.PrimaryKeyConstraint("transfer_id", "destination_id", name=op.f("pk_sent_to")),
    )
    _say_where_they_went()
    _count_what_was_withdrawn()
    with op.batch_alter_table("recall", schema=None) as batch_op:
        batch_op.add_column(sa.Column("again_at", UtcDateTime(), nullable=True))
        batch_op.drop_constraint(batch_op.f("uq_recall_transfer_id"), type_="unique")
        batch_op.create_unique_constraint(
            batch_op.f("uq_recall_transfer_id_destination_id"), ["transfer_id", "destination_id"]
        )


def _say_where_they_went() -> None:
    """What was sent so far went where its project sends to, or sent to when it was recalled."""
    op.execute(
        "INSERT INTO sent_to (transfer_id, destination_id, first_at)"
        " SELECT transfer.id, project.destination_id, transfer.requested_at"
        " FROM transfer JOIN project ON project.id = transfer.project_id"
        " WHERE project.destination_id IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM delivery WHERE delivery.transfer_id = transfer.id"
        " AND delivery.released_sop_uid IS NOT NULL)"
        " AND NOT EXISTS (SELECT 1 FROM recall WHERE recall.transfer_id = transfer.id)"
    )
    op.execute(
        "INSERT INTO sent_to (transfer_id, destination_id, first_at)"
        " SELECT recall.transfer_id, recall.destination_id, recall.asked_at"
        " FROM recall WHERE recall.destination_id IS NOT NULL"
    )


def _count_what_was_withdrawn() -> None:
    op.add_column(
        "transfer", sa.Column("withdrawn", sa.Integer(), nullable=False, server_default="0")
    )
    op.execute(
        "UPDATE transfer SET withdrawn = (SELECT count(*) FROM delivery"
        " WHERE delivery.transfer_id = transfer.id AND delivery.state = 'withdrawn')"
        " WHERE state IN ('cancelled', 'recalled')"
    )


def downgrade() -> None:
    # The earlier schema has one recall for a transfer: the one that is least done stays.
    op.execute(
        "DELETE FROM recall WHERE EXISTS (SELECT 1 FROM recall AS other"
        " WHERE other.transfer_id = recall.transfer_id AND other.id != recall.id"
        " AND ((recall.state = 'done' AND other.state != 'done')"
        " OR ((recall.state = 'done') = (other.state = 'done') AND other.id < recall.id)))"
    )
    with op.batch_alter_table("recall", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_recall_transfer_id_destination_id"), type_="unique")
        batch_op.create_unique_constraint(batch_op.f("uq_recall_transfer_id"), ["transfer_id"])
        batch_op.drop_column("again_at")
    op.drop_column("transfer", "withdrawn")
    op.drop_table("sent_to")
