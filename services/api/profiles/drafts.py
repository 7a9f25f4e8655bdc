"""A profile that is being changed: what a form says, put into the document."""

from collections.abc import Mapping
from typing import Any

from services.api.profiles.keys import elements_of, key_of
from services.api.profiles.rows import Row, Table, table_of
from shared.profile import Action
from shared.profile.contents import Content
from shared.profile.format import Document, Entry, read_document
from shared.profile.tables import SOURCE

_NEEDS_VALUE = (Action.LITERAL, Action.REGEX)


class Draft:
    """A project's profile, saved or not.

    Parameters
    ----------
    text
        As a project's is written; empty for nothing of its own.
    name
        What a new one is called.
    legacy
        Whether the project makes identifiers as the earlier system did.

    Raises
    ------
    ProfileError
        The text is no profile.
    """

    def __init__(self, text: str, *, name: str, legacy: bool = False) -> None:
        self._legacy = legacy
        self.document = (
            read_document(text)
            if text
            else Document(format=1, name=name.lower(), base="source-2019")
        )

    @property
    def text(self) -> str:
        """As a project's is written; empty where nothing differs from the usual table."""
        document = self.document
        own = document.rules or document.contents or document.options or document.unlisted_private
        return "" if document.base == SOURCE and not own else document.text()

    @property
    def table(self) -> Table:
        """The table under it."""
        return table_of(self.document.text(), legacy=self._legacy)

    def apply(self, sent: Mapping[str, Any]) -> None:
        """Take in what a form says of base, options, contents, and of the rows that it showed."""
        rows = {row.key: row for row in self.table.rows}
        changes: dict[str, Entry | None] = {}
        for name, action in sent.items():
            kind, _, key = name.partition(":")
            row = rows.get(key)
            if kind != "action" or row is None:
                continue
            entered = _entered(row, str(action), sent)
            if entered != _entered(row, row.action.value, _shown(row)):
                changes[key] = entered
        self._replace({
            key: None if self._says_so_itself(rows[key], entry) else entry
            for key, entry in changes.items()
            if entry is not None
        })  # fmt: skip
        if "base" in sent:
            self._choose(sent)

    def put(self, key: str, entry: Entry | None) -> None:
        """Have `entry` in the place of the project's rule that is known by `key`; None for none."""
        self._replace({key: entry})

    def _replace(self, changes: Mapping[str, Entry | None]) -> None:
        """Have other rules, or none, in the places of those that are known by the keys."""
        waiting, rules = dict(changes), []
        for one in self.document.rules:
            key = key_of(one)
            if key not in changes:
                rules.append(one)
            elif (entry := waiting.pop(key, None)) is not None:
                rules.append(entry)
        self._update(rules=[*rules, *(one for one in waiting.values() if one is not None)])

    def _says_so_itself(self, row: Row, entry: Entry) -> bool:
        """Whether the rest of the table, wider rules of the project too, does just what a rule
        says, so that it is not needed.
        """
        if not row.is_own or row.when is not None or not _is_base(row, entry):
            return False
        rest = Draft(self.document.text(), name=self.document.name, legacy=self._legacy)
        rest.put(row.key, None)
        there = rest.table.row(row.key)
        return there is None or (there.action, there.value) == (row.base, row.base_value)

    def add(self, entry: Entry) -> str:
        """Put in a rule for what is perhaps not listed; the key of its row."""
        key = key_of(entry)
        self.put(key, entry)
        return key

    def _choose(self, sent: Mapping[str, Any]) -> None:
        base = str(sent["base"])
        contents = {
            content.value: str(sent[f"content:{content.value}"])
            for content in Content
            if sent.get(f"content:{content.value}")
        }
        # Options belong to one base only; who changes it need not take them away one by one.
        options = list(sent.get("options", ())) if base != SOURCE else []
        self._update(
            base=base,
            options=options,
            contents=contents,
            unlisted_private=sent.get("unlisted_private") or None,
        )

    def _update(self, **values: Any) -> None:
        """The same document with other values; a `ValidationError` for what can't be."""
        changed = self.document.model_dump() | values
        changed["rules"] = [
            one.model_dump() if isinstance(one, Entry) else one for one in changed["rules"]
        ]
        self.document = Document.model_validate(changed)


def new_entry(element: str, creator: str, action: str, value: str) -> Entry:
    """A rule as somebody enters it for what is not listed."""
    entry = Entry(element=element, creator=creator, action=action, value=value)
    return entry.model_copy(update={"element": _readable(element, creator)})


def _entered(row: Row, action: str, sent: Mapping[str, Any]) -> Entry:
    """The rule that a form says for a row."""
    shown = _shown(row)
    given = {}
    for name in ("value", "pattern", "put"):
        field = f"{name}:{row.key}"
        text = str(sent.get(field, ""))
        # A browser leaves line ends out of a line that nobody has touched.
        given[name] = shown[field] if _in_a_line(shown[field]) == _in_a_line(text) else text
    is_regex, is_literal = action == Action.REGEX, action == Action.LITERAL
    return Entry(
        element=_readable(row.element, row.creator),
        creator=row.creator,
        action=action,
        value=given["value"] if is_literal else "",
        pattern=given["pattern"] if is_regex else "",
        replacement=given["put"] if is_regex else "",
        when=row.when,
        note=row.note if row.is_own else "",
    )


def _in_a_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "")


def _readable(element: str, creator: str) -> str:
    """The keyword in the place of a tag, where there is one."""
    found = elements_of(Entry(element=element, creator=creator, action=""))
    is_named = found is not None and not creator and not found.name.startswith("(")
    return found.name if found is not None and is_named else element


def _shown(row: Row) -> dict[str, str]:
    """What a form has of a row that nobody has touched."""
    is_regex = row.action is Action.REGEX
    return {
        f"value:{row.key}": "" if is_regex else row.value,
        f"pattern:{row.key}": row.pattern,
        f"put:{row.key}": row.value if is_regex else "",
    }


def _is_base(row: Row, entered: Entry) -> bool:
    """Whether the base says just that."""
    return entered.action == row.base and (
        row.base not in _NEEDS_VALUE or entered.value == row.base_value
    )
