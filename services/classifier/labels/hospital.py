"""The rules that Sluse brings, for a hospital: `rules/*.yaml`, in the order of their names."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from services.classifier.labels.checks import RulesError
from services.classifier.labels.fiona import load_fiona
from services.classifier.labels.format import load_rules
from services.classifier.labels.language import RuleSet
from shared.errors import StartError


@cache
def hospital_texts() -> tuple[str, ...]:
    """The texts, so that a site's own can be appended: `load_rules(*hospital_texts(), own)`."""
    folder = files("services.classifier.labels") / "rules"
    found = sorted(folder.iterdir(), key=lambda one: one.name)
    return tuple(one.read_text("utf-8") for one in found if one.name.endswith(".yaml"))


@cache
def hospital_rules() -> RuleSet:
    """The rules of `hospital_texts`."""
    return load_rules(*hospital_texts())


def rules_of(path: Path | None) -> RuleSet:
    """The rules of a site: those of Sluse, and behind them its own file's.

    A file that ends in `.json` is the earlier system's, and stands alone.

    Raises
    ------
    StartError
        The file can't be used; says everything that is wrong with it.
    """
    if path is None:
        return hospital_rules()
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".json":
            return load_fiona(text, path.name)
        return load_rules(*hospital_texts(), text)
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"the classification rules {path} can't be read: {error}") from None
    except RulesError as error:
        problems = "\n  ".join(error.problems)
        raise StartError(f"the classification rules {path} can't be used:\n  {problems}") from None
