"""Accounts, what they may do, and how they are known again"""

import sqlalchemy as sa
from alembic import op

from shared.ledger.columns import BigId, Document, UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _id() -> sa.Column[int]:
    return sa.Column("id", BigId, autoincrement=True, nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, UtcDateTime(), nullable=nullable)


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"))


def upgrade() -> None:
    op.create_table(
        "account",
        _id(),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(255), nullable=True),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("system_role", sa.String(16), nullable=False),
        sa.Column("directory_role", sa.String(16), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        _moment("created_at"),
        _moment("signed_in_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("username", name=op.f("uq_account_username")),
        sa.UniqueConstraint("subject", name=op.f("uq_account_subject")),
    )
    op.create_table(
        "membership",
        _id(),
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("project_id", BigId, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("by_directory", sa.Boolean(), nullable=False),
        _moment("created_at"),
        _refers("membership", "account_id", "account.id"),
        _refers("membership", "project_id", "project.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_membership")),
        sa.UniqueConstraint(
            "account_id", "project_id", "by_directory",
            name=op.f("uq_membership_account_id_project_id_by_directory"),
        ),
    )  # fmt: skip
    op.create_index(op.f("ix_membership_project_id"), "membership", ["project_id"])
    op.create_table(
        "group_role",
        _id(),
        sa.Column("group_name", sa.String(300), nullable=False),
        sa.Column("project_id", BigId, nullable=True),
        sa.Column("role", sa.String(16), nullable=False),
        _refers("group_role", "project_id", "project.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_role")),
        sa.UniqueConstraint(
            "group_name", "project_id", name=op.f("uq_group_role_group_name_project_id")
        ),
    )
    op.create_table(
        "web_session",
        _id(),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("account_id", BigId, nullable=False),
        _moment("created_at"),
        _moment("seen_at"),
        _refers("web_session", "account_id", "account.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_web_session")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_web_session_secret_hash")),
    )
    op.create_index(op.f("ix_web_session_account_id"), "web_session", ["account_id"])
    op.create_table(
        "api_token",
        _id(),
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("hint", sa.String(8), nullable=False),
        sa.Column("rights", Document, nullable=False),
        sa.Column("project_id", BigId, nullable=True),
        _moment("created_at"),
        _moment("expires_at"),
        _moment("used_at", nullable=True),
        _refers("api_token", "account_id", "account.id"),
        _refers("api_token", "project_id", "project.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_token_secret_hash")),
    )
    op.create_index(op.f("ix_api_token_account_id"), "api_token", ["account_id"])
    op.create_table(
        "throttle",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        _moment("last_at"),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttle")),
    )
    op.create_index(op.f("ix_throttle_last_at"), "throttle", ["last_at"])


def downgrade() -> None:
    for table in ("throttle", "api_token", "web_session", "group_role", "membership", "account"):
        op.drop_table(table)
