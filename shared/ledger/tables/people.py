"""People: accounts, what they may do, and how they are known again."""

from datetime import datetime

from sqlalchemy import Column, UniqueConstraint, true
from sqlmodel import Field, SQLModel

from shared.ledger.columns import Document, reference, row_id
from shared.ledger.tables.base import moment
from shared.people import Source, SystemRole


class Account(SQLModel, table=True):
    """A person who signs in."""

    id: int | None = Field(default=None, sa_column=row_id())
    username: str = Field(max_length=64, unique=True)
    """In small letters."""
    name: str = Field(default="", max_length=100)
    source: str = Field(default=Source.LOCAL, max_length=16)
    """Who checks the password."""
    subject: str | None = Field(default=None, max_length=255, unique=True)
    """What the directory or the identity provider knows the person by."""
    password_hash: str = Field(default="", max_length=200)
    """Argon2 (RFC 9106); empty where somebody else checks it."""
    system_role: str = Field(default=SystemRole.NONE, max_length=16)
    directory_role: str = Field(default=SystemRole.NONE, max_length=16)
    """The same, as the directory's groups gave it when the person signed in last."""
    language: str = Field(default="", max_length=8)
    """Of the pages; empty for what the browser asks for."""
    enabled: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    created_at: datetime = moment()
    signed_in_at: datetime | None = moment(nullable=True)


class Membership(SQLModel, table=True):
    """What a person may do in a project."""

    __table_args__ = (UniqueConstraint("account_id", "project_id", "by_directory"),)

    id: int | None = Field(default=None, sa_column=row_id())
    account_id: int = Field(sa_column=reference("account.id"))
    project_id: int = Field(sa_column=reference("project.id", index=True))
    role: str = Field(max_length=16)
    by_directory: bool = False
    """Given by a group of the directory, and taken away by it; otherwise by a person."""
    created_at: datetime = moment()


class GroupRole(SQLModel, table=True):
    """What the members of a group in the directory may do."""

    __tablename__ = "group_role"
    __table_args__ = (UniqueConstraint("group_name", "project_id"),)

    id: int | None = Field(default=None, sa_column=row_id())
    group_name: str = Field(max_length=300)
    """Its distinguished name or its short one; of an identity provider what it calls it."""
    project_id: int | None = Field(default=None, sa_column=reference("project.id", nullable=True))
    """None: the role is one of the whole system."""
    role: str = Field(max_length=16)


class WebSession(SQLModel, table=True):
    """A browser in which somebody is signed in."""

    __tablename__ = "web_session"

    id: int | None = Field(default=None, sa_column=row_id())
    secret_hash: str = Field(max_length=64, unique=True)
    """SHA-256 of what the cookie holds."""
    account_id: int = Field(sa_column=reference("account.id", index=True))
    created_at: datetime = moment()
    seen_at: datetime = moment()


class ApiToken(SQLModel, table=True):
    """What another system shows in place of a person."""

    __tablename__ = "api_token"

    id: int | None = Field(default=None, sa_column=row_id())
    account_id: int = Field(sa_column=reference("account.id", index=True))
    """Whose rights it can't go beyond."""
    name: str = Field(max_length=64)
    secret_hash: str = Field(max_length=64, unique=True)
    """SHA-256 of the token."""
    hint: str = Field(max_length=8)
    """Its last characters, for people to recognise it by."""
    rights: list[str] = Field(sa_column=Column(Document, nullable=False))
    project_id: int | None = Field(default=None, sa_column=reference("project.id", nullable=True))
    """The only project that it reaches; None for all of the person's."""
    created_at: datetime = moment()
    expires_at: datetime = moment()
    used_at: datetime | None = moment(nullable=True)


class Throttle(SQLModel, table=True):
    """How often somebody failed to sign in: under a name, or from an address."""

    key: str = Field(max_length=64, primary_key=True)
    """A keyed hash: what people type by mistake may be a password."""
    failures: int = 0
    last_at: datetime = moment(index=True)
