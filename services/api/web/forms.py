"""What people enter in forms: read into the REST API's models, given back with complaints."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from services.api.problems import ProblemError, complaints_of
from services.api.versions import Edited
from services.api.web.words import CAN_BE_CONFIRMED


@dataclass
class Form:
    """What stands in a form, and what is wrong with it.

    Parameters
    ----------
    values
        What was entered, by the fields' names: texts, or lists of such.
    complaints
        What is wrong, by the fields' names.
    title
        What is wrong as a whole; empty for nothing.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    complaints: dict[str, list[str]] = field(default_factory=dict)
    title: str = ""

    @property
    def version(self) -> str | None:
        """Which version of what is edited was shown: the `If-Match` of its change."""
        return self.values.get("version") or None

    @property
    def fields(self) -> dict[str, Any]:
        """What was entered of the thing itself."""
        return {name: value for name, value in self.values.items() if name != "version"}

    def value(self, name: str) -> Any:
        """What stands in a field."""
        found = self.values.get(name, "")
        return "" if found is None else found

    def wrong(self, name: str) -> list[str]:
        """What is wrong with a field, and with its parts."""
        return [
            text
            for at, texts in self.complaints.items()
            if at == name or at.startswith(f"{name}.")
            for text in texts
        ]

    def elsewhere(self, shown: Collection[str]) -> list[str]:
        """What is wrong with fields that the form does not show."""
        names = {at: at.partition(".")[0] for at in self.complaints}
        return [text for at, texts in self.complaints.items() if names[at] not in shown
                for text in texts]  # fmt: skip

    def can_be_confirmed(self) -> bool:
        """Whether a person may know better than all that stands against it."""
        said = {text for texts in self.complaints.values() for text in texts}
        return bool(said) and said <= CAN_BE_CONFIRMED

    def refused(self, error: ProblemError | ValidationError) -> "Form":
        """The same form with what is wrong with it."""
        complaints: dict[str, list[str]] = {}
        found = complaints_of(error)
        for one in found.errors:
            complaints.setdefault(one.field, []).append(one.message)
        return Form(self.values, complaints, found.title)


def form_of(found: Edited) -> Form:
    """The form in which something that is there is changed."""
    return Form(found.model_dump(mode="json") | {"version": found.version()})


def entered(
    sent: FormData, *, lists: Collection[str] = (), as_they_are: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The texts of a form that was sent, without what is only the form's own.

    Parameters
    ----------
    lists
        Fields that may be there several times.
    as_they_are
        Beginnings of the names of fields in which blanks at the ends count.
    """
    texts: dict[str, Any] = {
        name: value if as_they_are and name.startswith(as_they_are) else value.strip()
        for name, value in sent.items()
        if name != "form_token" and not isinstance(value, UploadFile)
    }
    for name in lists:
        texts[name] = [str(one).strip() for one in sent.getlist(name) if str(one).strip()]
    return texts


def only(choices: Sequence[str]) -> str:
    """What there is to choose, where it is one; of several a person chooses."""
    return choices[0] if len(choices) == 1 else ""


def without_empty(values: Mapping[str, Any], *, but: Collection[str] = ()) -> dict[str, Any]:
    """The fields in which something stands, and those of `but`."""
    return {name: value for name, value in values.items() if value != "" or name in but}
