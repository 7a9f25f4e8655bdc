"""Which project something belongs to that a path names."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from services.api.dependencies import ROW_ID
from services.api.rights.needs import Where
from shared.identity import PROJECT_CODE
from shared.ledger import Connection
from shared.ledger.tables import Import, Project, Recall, RoutingRule, Transfer, core

_project, _transfer, _recall, _rule = core(Project), core(Transfer), core(Recall), core(RoutingRule)
_import = core(Import)

_LARGEST = 2**63 - 1


def is_written_well(where: Where, path: Mapping[str, Any]) -> bool:
    """Whether there could be such a thing; the route's own checks say what is wrong with it."""
    if where is Where.PROJECT:
        return re.fullmatch(PROJECT_CODE, str(path["code"])) is not None
    number = str(path[_BY_ID[where][0]])
    return re.fullmatch(ROW_ID, number) is not None and int(number) <= _LARGEST


def parameter_of(where: Where) -> str:
    """The name of the path's parameter."""
    return "code" if where is Where.PROJECT else _BY_ID[where][0]


async def project_of(connection: Connection, where: Where, path: Mapping[str, Any]) -> int | None:
    """The id of the project; None when there is no such thing. `path` is written well."""
    if where is Where.PROJECT:
        named: int | None = await connection.scalar(
            select(_project.c.id).where(_project.c.code == path["code"])
        )
        return named
    name, query = _BY_ID[where]
    found: int | None = await connection.scalar(query.where(_KEYS[where] == int(path[name])))
    return found


_BY_ID = {
    Where.TRANSFER: ("transfer_id", select(_transfer.c.project_id)),
    Where.RULE: ("rule_id", select(_rule.c.project_id)),
    Where.IMPORT: ("import_id", select(_import.c.project_id)),
    Where.RECALL: (
        "recall_id",
        select(_transfer.c.project_id).join_from(
            _recall, _transfer, _transfer.c.id == _recall.c.transfer_id
        ),
    ),
}
_KEYS = {
    Where.TRANSFER: _transfer.c.id,
    Where.RULE: _rule.c.id,
    Where.RECALL: _recall.c.id,
    Where.IMPORT: _import.c.id,
}
