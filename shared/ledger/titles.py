"""The AE titles that Sluse answers to: one place for the receiver and for STOW-RS."""

from sqlalchemy import select, union_all

from shared.ledger.database import Connection
from shared.ledger.states import ProjectState, Verification
from shared.ledger.tables import Destination, Project, RoutingRule, core

_project, _rule, _destination = core(Project), core(RoutingRule), core(Destination)


async def titles(connection: Connection, own: str) -> frozenset[str]:
    """Sluse's own, one per active project, those of rules, and those that it is called back by.

    Parameters
    ----------
    own
        Sluse's own AE title.
    """
    found = await connection.scalars(
        union_all(
            select(_project.c.code).where(_project.c.state == ProjectState.ACTIVE),
            select(_rule.c.called_aet).where(_rule.c.enabled, _rule.c.called_aet.is_not(None)),
            # A PACS that is asked for storage commitment reports to whom it was asked by.
            select(_destination.c.calling_aet).where(
                _destination.c.verification == Verification.COMMITMENT,
                _destination.c.calling_aet.is_not(None),
            ),
        )
    )
    return frozenset({own, *found})
