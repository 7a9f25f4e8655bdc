"""Reads a rule's form: its rows, what it asks for in words, and what is wrong with it."""

from itertools import zip_longest
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData

from services.api.problems import ProblemError, rule_broken
from services.api.routing_rules.schemas import RoutingRuleRead, RoutingRuleWrite
from services.api.web.forms import Form, entered
from services.api.web.rules.conditions import (
    CALLED,
    MOST_ROWS,
    PATIENT_ID,
    PATIENTS,
    TITLES,
    Conditions,
    How,
    Row,
    conditions_of,
    examine,
)
from services.api.web.rules.texts import (
    FILL_IN,
    NO_EXPRESSION,
    ONLY_ONCE,
    WRONG,
    said_of,
)
from shared.ledger.tables import Project

_MOST_SENT = 2 * MOST_ROWS + 1
_PLAIN = ("name", "priority", "trusted", "project", "event", "site", "transfer_priority")
SHOWN = (*_PLAIN, *TITLES, *PATIENTS)
"""The fields that stand in the form."""


class RuleForm(Form):
    """A form with rows.

    Parameters
    ----------
    conditions
        Its rows.
    """

    def __init__(self, values: dict[str, Any], conditions: Conditions) -> None:
        super().__init__(values)
        self.conditions = conditions
        self.shortened = ""
        """The part from which a row has just been taken."""

    def body(self) -> RoutingRuleWrite:
        """The rule; a `ValidationError` or a `ProblemError` where it can't be one."""
        self._examine()
        if not self.conditions.are_right:
            raise ProblemError(422, WRONG)
        values = {name: self.value(name) for name in _PLAIN}
        values |= {name: self.conditions.value(name) for name in (*TITLES, *PATIENTS)}
        values["enabled"] = self.value("enabled") == "true"
        values["transfer_priority"] = values["transfer_priority"] or None
        return RoutingRuleWrite.model_validate(values)

    def keep_to(self, project: Project | None) -> list[str]:
        """Leave out the event and the site of another project; the fields that are then shown."""
        shown = list(SHOWN)
        for name, known in _places(project).items():
            if self.value(name) not in known:
                self.values = {**self.values, name: ""}
            if not known:
                shown.remove(name)
        return shown

    def complain(self, error: ProblemError | ValidationError) -> None:
        """Say what is wrong, each at its field."""
        refused = self.refused(error)
        self.title = WRONG
        for name, messages in refused.complaints.items():
            said = [said_of(name, one) for one in messages]
            if name == "participant":
                name = "trusted"  # what stands against the project's choosing of ids
            rows = self.conditions.of(name)
            where = rows[0].wrong if rows else self.complaints.setdefault(name, [])
            where.extend(dict.fromkeys(said))

    def press(self, button: str) -> None:
        """Add or remove a row, if that is what a button is for."""
        what, _, which = button.partition(" ")
        part, _, number = which.partition(" ")
        rows = {"title": self.conditions.titles, "patient": self.conditions.patients}.get(part)
        if rows is None:
            return
        if what == "add" and len(rows) < MOST_ROWS:
            used = {row.field for row in rows}
            name = next((one for one in TITLES if one not in used), CALLED)
            rows.append(Row(name) if part == "title" else Row(PATIENT_ID, How.BEGINS))
            rows[-1].is_new = True
        elif what == "remove" and number.isdecimal() and int(number) < len(rows):
            del rows[int(number)]
            self.shortened = part

    def _examine(self) -> None:
        for row in (*self.conditions.titles, *self.conditions.patients):
            if row.is_empty:
                row.wrong.append(FILL_IN)
            elif row.how is How.EXPRESSION and (detail := examine(row)):
                row.wrong.append(NO_EXPRESSION)
                row.detail = detail
        for name in TITLES:
            for row in self.conditions.of(name)[1:]:
                row.wrong.append(ONLY_ONCE)


def empty_form(project: str) -> RuleForm:
    """The form of a new rule, with a row of each kind to begin with."""
    fields = RoutingRuleWrite.model_fields
    values = {name: fields[name].default for name in ("priority", "event", "site")}
    values |= {"name": "", "project": project, "enabled": "true", "trusted": "true"}
    rows = Conditions([Row(CALLED)], [Row(PATIENT_ID, How.BEGINS)])
    return RuleForm(values, rows)


def form_of(rule: RoutingRuleRead) -> RuleForm:
    """The form of a rule that is there."""
    values = rule.model_dump(mode="json")
    values |= {name: "true" if values[name] else "false" for name in ("enabled", "trusted")}
    return RuleForm(values, conditions_of(rule))


def read_form(sent: FormData) -> RuleForm:
    """The form as somebody has sent it."""
    titles = [
        Row(name, How.IS, value.strip())
        for name, value in _rows(sent, "title_field", "title_value")
        if name in TITLES
    ]
    patients = [
        Row(name, How(how), _typed(how, value))
        for name, how, value in _rows(sent, "patient_field", "patient_how", "patient_value")
        if name in PATIENTS and how in list(How)
    ]
    return RuleForm(entered(sent), Conditions(titles, patients))


def _places(project: Project | None) -> dict[str, list[str]]:
    return (
        {"event": project.events, "site": project.sites} if project else {"event": [], "site": []}
    )


def _typed(how: str, value: str) -> str:
    """What was typed; in an expression blanks at the ends count."""
    if how == How.ANY:
        return ""
    return value if how == How.EXPRESSION else value.strip()


def _rows(sent: FormData, *names: str) -> list[tuple[str, ...]]:
    columns = [[str(one) for one in sent.getlist(name)] for name in names]
    rows = list(zip_longest(*columns, fillvalue=""))
    if len(rows) > _MOST_SENT:
        # A condition that is left out would let others through.
        raise rule_broken("patient_id_pattern", "These are too many conditions for one rule.")
    return rows
