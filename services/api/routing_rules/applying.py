"""Applies a rule to what is here already."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, exists, or_, select

from services.api.nudging import nudge_requested
from services.api.problems import rule_broken
from services.api.rights.person import Person
from services.api.rights.studies import seen_by
from services.api.routing_rules import service
from services.api.routing_rules.schemas import Applied
from shared.admission import Way
from shared.identity import MasterKey
from shared.ledger import Connection, Ledger
from shared.ledger.auditing import Action, audit
from shared.ledger.tables import Association, RoutingRule, Study, StudyAssociation, Transfer, core
from shared.routing import arrived, enabled_rules, requests_for, take_all
from shared.runtime import Runtime

_study, _transfer = core(Study), core(Transfer)
_association, _bringer = core(Association), core(StudyAssociation)

_AT_ONCE = 100
"""Studies that one transaction takes, so that arrivals wait only shortly."""


class Taken(NamedTuple):
    """What one transaction did."""

    transfers: list[int]
    """The new ones."""
    refused: int
    """Studies that match and that the gate refused; their `routing_note` says why."""


async def apply_whole(runtime: Runtime, rule_id: int, person: Person) -> Applied:
    """Apply a rule to all that the person sees here and announce what that brings; a problem where
    there is no such rule, or it is switched off.
    """
    master_key = await runtime.load_master_key()
    async with runtime.ledger.session() as session:
        rule = await service.get(session, rule_id)
    if not rule.enabled:
        raise rule_broken("enabled", "The rule is switched off. Switch it on first.")
    applied = Applied(taken=0, refused=0)
    async with runtime.ledger.reading() as connection:
        seen = await seen_by(person, connection, runtime)
    async for transfers, refused in apply(runtime.ledger, rule, master_key, seen):
        applied.taken += len(transfers)
        applied.refused += refused
        await nudge_requested(runtime, transfers)
    return applied


async def apply(
    ledger: Ledger, rule: RoutingRule, master_key: MasterKey, seen: ColumnElement[bool]
) -> AsyncIterator[Taken]:
    """Take what is `seen` and matches into the rule's project, the oldest first, some at a time.

    Whoever is interrupted may ask again: what was taken stays, and the rest follows.
    """
    done = 0
    while True:
        async with ledger.transaction() as connection:
            ids = await _locked(connection, rule, done, seen)
            taken = await _take(connection, rule, ids, master_key)
        if not ids:
            return
        yield taken
        done = ids[-1]


async def _take(
    connection: Connection, rule: RoutingRule, study_ids: list[int], master_key: MasterKey
) -> Taken:
    studies = await arrived(connection, study_ids)
    # All rules, since another one may go first.
    rules = await enabled_rules(connection)
    requests = [
        one
        for one in await requests_for(connection, studies, rules, master_key)
        if one.way is Way.RULE and one.rule_id == rule.id
    ]
    transfers = await take_all(connection, requests, master_key)
    if transfers:
        await audit(connection, Action.RULE_APPLIED, rule=rule.id, transfers=transfers)
    return Taken(transfers, len(requests) - len(transfers))


async def _locked(
    connection: Connection, rule: RoutingRule, done: int, seen: ColumnElement[bool]
) -> list[int]:
    """The next studies that may match, which nobody else takes anywhere meanwhile."""
    rows = await connection.scalars(
        select(_study.c.id)
        .where(
            _study.c.id > done,
            seen,
            exists().where(
                _bringer.c.study_id == _study.c.id,
                _association.c.id == _bringer.c.association_id,
                _by_title(rule),
            ),
            ~exists().where(
                _transfer.c.study_id == _study.c.id, _transfer.c.project_id == rule.project_id
            ),
        )
        .order_by(_study.c.id)
        .limit(_AT_ONCE)
        .with_for_update(key_share=True)
    )
    return list(rows)


def _by_title(rule: RoutingRule) -> ColumnElement[bool]:
    titles = (
        (_association.c.called_aet, rule.called_aet),
        (_association.c.calling_aet, rule.calling_aet),
    )
    return or_(*(column == title for column, title in titles if title))
