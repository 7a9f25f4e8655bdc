"""What people may do: rights, and the roles that give them. The one place that says so."""

from collections.abc import Mapping
from enum import StrEnum


class Right(StrEnum):
    """Something that a person may do, in a project or in the whole system."""

    VIEW = "view"
    """See what is in a project, under its pseudonyms."""
    ASSIGN = "assign"
    """Take studies into a project that want to be in it."""
    IDENTIFY = "identify"
    """See who the participants of a project are, and its coupling list."""
    CORRECT = "correct"
    """Stop, take back and correct what goes into a project."""
    EXPORT = "export"
    """Take a project's data out."""
    MANAGE = "manage"
    """Change a project and who works in it."""
    OPERATE = "operate"
    """See to it that the system runs."""
    ADMINISTER = "administer"
    """Decide who may use the system, and what it is connected to."""


class Role(StrEnum):
    """What a person is in a project."""

    OWNER = "owner"
    DATA_MANAGER = "data-manager"
    DATA_ENTRY = "data-entry"
    VIEWER = "viewer"


class SystemRole(StrEnum):
    """What a person is in the whole system."""

    NONE = ""
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


class Source(StrEnum):
    """Who checks that a person is who they say."""

    LOCAL = "local"
    LDAP = "ldap"
    OIDC = "oidc"


PROJECT_RIGHTS = frozenset(
    {Right.VIEW, Right.ASSIGN, Right.IDENTIFY, Right.CORRECT, Right.EXPORT, Right.MANAGE}
)
SYSTEM_RIGHTS = frozenset({Right.OPERATE, Right.ADMINISTER})

ROLES: Mapping[Role, frozenset[Right]] = {
    Role.OWNER: PROJECT_RIGHTS,
    Role.DATA_MANAGER: PROJECT_RIGHTS - {Right.MANAGE},
    Role.DATA_ENTRY: frozenset({Right.VIEW, Right.ASSIGN}),
    Role.VIEWER: frozenset({Right.VIEW}),
}
SYSTEM_ROLES: Mapping[SystemRole, frozenset[Right]] = {
    SystemRole.NONE: frozenset(),
    SystemRole.OPERATOR: frozenset({Right.OPERATE}),
    SystemRole.ADMINISTRATOR: SYSTEM_RIGHTS,
}
EVERYWHERE: Mapping[SystemRole, frozenset[Right]] = {
    SystemRole.NONE: frozenset(),
    SystemRole.OPERATOR: frozenset(),
    # They enter projects and their members. Who the participants are is not theirs to see.
    SystemRole.ADMINISTRATOR: frozenset({Right.VIEW, Right.MANAGE}),
}
"""What a system role gives in every project."""
