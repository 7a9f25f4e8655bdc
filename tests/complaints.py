"""Finds the sentences that services say to people, in their source: what catalogues must have.

A sentence is a literal, or an f-string whose values have names, which then is the template
`… %(name)s …`. It may go through constants, dictionaries, variables, parameters and functions of
ours; where it can't be followed it is an error, for nobody could translate it.
"""

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PROBLEMS = "services.api.problems."


class Carrier(NamedTuple):
    """Where a function takes a sentence."""

    position: int
    keyword: str
    around: str = "%s"
    """What it makes of it."""


CARRIERS = {
    _PROBLEMS + "rule_broken": Carrier(1, "message"),
    _PROBLEMS + "settled": Carrier(1, "message"),
    _PROBLEMS + "taken": Carrier(1, "message"),
    _PROBLEMS + "not_found": Carrier(0, "what", "There is no such %s."),
    _PROBLEMS + "ProblemError": Carrier(1, "title"),
    _PROBLEMS + "FieldError": Carrier(9, "message"),
    _PROBLEMS + "Problem": Carrier(9, "title"),
    "starlette.exceptions.HTTPException": Carrier(1, "detail"),
    "services.api.accounts.signing_in.NotSignedInError": Carrier(0, "text"),
    "services.api.coupling_lists.reading.Complaint": Carrier(2, "message"),
    "services.api.coupling_lists.reading.UnreadableError": Carrier(0, "text"),
    "services.api.coupling_lists.schemas.ListRefused": Carrier(9, "title"),
    "services.api.imports.review_schemas.Remark": Carrier(9, "message"),
    "services.api.webhooks.addresses.AddressError": Carrier(0, "text"),
    "services.api.webhooks.posting.Posted": Carrier(2, "detail"),
    "shared.patterns.PatternError": Carrier(0, "text"),
    "shared.profile.edits.EditError": Carrier(0, "text"),
    "shared.profile.format.ProfileError": Carrier(0, "problems"),
    "shared.profile.elements.ElementError": Carrier(0, "text"),
    "shared.profile.ps315.OptionError": Carrier(0, "text"),
    "services.api.coupling_lists.reading.CouplingList": Carrier(0, "form"),
    "services.api.web.forms.Form": Carrier(2, "title"),
    "services.api.web.projects.patterns.Examples": Carrier(1, "wrong"),
    "services.api.web.sign_in._first": Carrier(3, "complaint"),
    "services.api.web.sign_in.sign_in_form": Carrier(3, "complaint"),
    "ValueError": Carrier(0, "text"),
}
"""Functions and classes that take a sentence for people."""
SAYING = {
    "services.api.coupling_lists.checking._about_keys",
    "services.api.coupling_lists.checking._about_project",
    "services.api.coupling_lists.reading._remarks",
    "shared.profile.checks",
    "shared.profile.format",
}
"""Functions, and whole modules, in which a list or a generator of sentences is made."""
_SAID_ELSEWHERE = ("in_words", "message", "title", "objection", "detail")
"""Attributes that hold a sentence which was found where it was made."""
_NOT_FOR_PEOPLE = (
    "services/api/dicomweb/",  # programs only: a problem there never is a page
    "shared/bus/", "shared/ledger/", "shared/inventory.py", "shared/settings.py", "shared/spool.py",
    "shared/passwords.py", "shared/hours.py",
)  # fmt: skip
"""Where a `ValueError` is a programmer's mistake."""
_LISTS = ("found", "wrong")
"""What lists of sentences are called in those modules."""
_SAYS_NOTHING = {_PROBLEMS + "not_found", "services.api.web.problem._in_words"}
_HANDED_ON = {
    # What is not there is named by `needs.Where`: see `services.api.web.words`.
    "services.api.rights.deciding._require",
    "services.api.rights.person.require",
    # What pydantic and Starlette say: see `problems.WORDS` and `services.api.web.words`.
    _PROBLEMS + "complaints_of",
    _PROBLEMS + "on_http",
    _PROBLEMS + "on_validation",
}
"""Functions that say, besides their own sentences, such as are found elsewhere."""


class UnknownSentenceError(AssertionError):
    """What is said can't be told from the source, so no catalogue can have it."""


@dataclass
class Module:
    """A module's source, and what its names stand for."""

    name: str
    path: str
    tree: ast.Module
    known_as: dict[str, str] = field(default_factory=dict)
    """Full names, by those used here."""
    constants: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)


Scope = tuple[ast.AST, ...]
"""What an expression stands in, the innermost last."""


class Finder:
    """Follows sentences through the source."""

    def __init__(self, modules: dict[str, Module]) -> None:
        self.modules = modules
        self.carriers = dict(CARRIERS)

    def every(self) -> set[str]:
        """All sentences; functions that hand a parameter on are found on the way."""
        problems = self.modules[_PROBLEMS.rstrip(".")]
        found = self.sentences(problems, problems.constants["WORDS"], ())
        known = -1
        while known != len(self.carriers):
            known = len(self.carriers)
            for module in self.modules.values():
                for node, scope in _walk(module.tree, ()):
                    found |= self._said(module, node, scope)
        return found

    def _said(self, module: Module, node: ast.AST, scope: Scope) -> set[str]:
        place = _place(module, scope)
        if place in _SAYS_NOTHING:
            return set()
        if isinstance(node, ast.Call):
            carrier, given = self._taken(module, node, scope)
            if carrier is None or given is None:
                return set()
            try:
                sentences = self.sentences(module, given, scope)
            except UnknownSentenceError:
                if place in _HANDED_ON:
                    return set()
                raise
            return {carrier.around % one for one in sentences}
        if module.name in SAYING or place in SAYING:
            return self._listed(module, node, scope)
        return set()

    def _listed(self, module: Module, node: ast.AST, scope: Scope) -> set[str]:
        match node:
            case ast.Yield(value=ast.expr() as said) if "_rules_of" not in _place(module, scope):
                return self.sentences(module, said, scope)
            case ast.AugAssign(value=ast.JoinedStr() | ast.ListComp() as said):
                if ast.unparse(node.target) in _LISTS:
                    return self.sentences(module, said, scope)
        return set()

    def _taken(
        self, module: Module, call: ast.Call, scope: Scope
    ) -> tuple[Carrier | None, ast.expr | None]:
        name = module.known_as.get(ast.unparse(call.func), ast.unparse(call.func))
        if name == "ValueError" and module.path.startswith(_NOT_FOR_PEOPLE):
            return None, None
        if name == "super().__init__" and isinstance(scope[-2], ast.ClassDef):
            bases = {module.known_as.get(ast.unparse(one)) for one in scope[-2].bases}
            name = _PROBLEMS + "ProblemError" if _PROBLEMS + "ProblemError" in bases else ""
        if (
            module.name in SAYING
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "append"
            and ast.unparse(call.func.value) in _LISTS
        ):
            return Carrier(0, ""), call.args[0]
        carrier = self.carriers.get(name)
        if carrier is None:
            return None, None
        for one in call.keywords:
            if one.arg == carrier.keyword:
                return carrier, one.value
        if len(call.args) > carrier.position and not any(
            isinstance(one, ast.Starred) for one in call.args
        ):
            return carrier, call.args[carrier.position]
        return carrier, None

    def sentences(self, module: Module, node: ast.expr, scope: Scope) -> set[str]:
        """What an expression may say."""
        match node:
            case ast.Constant(value=str(text)):
                return {text} - {""}
            case ast.JoinedStr():
                return self._template(module, node, scope)
            case ast.IfExp():
                both = (node.body, node.orelse)
                return self._any_of(module, both, scope)
            case ast.BoolOp():
                return self._any_of(module, node.values, scope)
            case ast.Dict():
                return self._any_of(module, node.values, scope)
            case ast.List() | ast.Tuple():
                return self._any_of(module, node.elts, scope)
            case ast.ListComp() | ast.GeneratorExp():
                return self.sentences(module, node.elt, scope)
            case ast.BinOp(op=ast.Mod()):
                return self.sentences(module, node.left, scope)
            case ast.Attribute(attr=attribute) if attribute in _SAID_ELSEWHERE:
                return set()
            case ast.Subscript(value=ast.Name()):
                return self.sentences(module, node.value, scope)
            case ast.Name():
                return self._named(module, node, scope)
            case ast.Call():
                return self._called(module, node, scope)
        raise _unknown(module, node)

    def _template(self, module: Module, node: ast.JoinedStr, scope: Scope) -> set[str]:
        """An f-string as catalogues have it, and the sentences in it."""
        parts: list[str] = []
        found: set[str] = set()
        names: dict[str, str] = {}
        for one in node.values:
            if isinstance(one, ast.Constant):
                parts.append(str(one.value).replace("%", "%%"))
                continue
            assert isinstance(one, ast.FormattedValue)
            value = ast.unparse(one.value)
            constant = module.constants.get(value)
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                parts.append(constant.value.replace("%", "%%"))
                continue
            name = value.rpartition(".")[2].strip("_").lower()
            if not name.isidentifier() or names.setdefault(name, value) != value:
                raise UnknownSentenceError(f"{module.path}:{node.lineno}: name this value: {value}")
            if name.endswith("in_words"):
                found |= self.sentences(module, one.value, scope)
            parts.append(f"%({name})s")
        return found | {"".join(parts)}

    def _any_of(self, module: Module, nodes: Iterable[ast.expr], scope: Scope) -> set[str]:
        return set[str]().union(*(self.sentences(module, one, scope) for one in nodes))

    def _named(self, module: Module, node: ast.Name, scope: Scope) -> set[str]:
        for around in reversed(scope):
            if not isinstance(around, _FUNCTIONS):
                continue
            if any(ast.unparse(one) == node.id for one in _loops(around)):
                return set()
            if values := list(_values_of(around, node.id)):
                return set().union(*(
                    self._called(module, value, scope, place) if place is not None
                    else self.sentences(module, value, scope)
                    for value, place in values
                ))  # fmt: skip
            arguments = [one.arg for one in (*around.args.args, *around.args.kwonlyargs)]
            if node.id in arguments:
                self.carriers.setdefault(
                    f"{module.name}.{around.name}", Carrier(arguments.index(node.id), node.id)
                )
                return set()
        home, _, name = module.known_as.get(node.id, f"{module.name}.{node.id}").rpartition(".")
        if home in self.modules and name in self.modules[home].constants:
            return self.sentences(self.modules[home], self.modules[home].constants[name], ())
        raise _unknown(module, node)

    def _called(
        self, module: Module, node: ast.expr, scope: Scope, place: int | None = None
    ) -> set[str]:
        """What a call gives; its `place` where that is a tuple."""
        assert isinstance(node, ast.Call)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            return self._any_of(module, (node.func.value, *node.args[1:]), scope)
        if ast.unparse(node.func) == "str":
            if self._is_caught(module, node.args[0], scope):
                return set()
            if isinstance(node.args[0], ast.BinOp):
                return self.sentences(module, node.args[0], scope)
        name = module.known_as.get(ast.unparse(node.func), "")
        home, _, name = name.rpartition(".")
        function = self.modules[home].functions.get(name) if home in self.modules else None
        if function is None:
            raise _unknown(module, node)
        found: set[str] = set()
        for one in ast.walk(function):
            if isinstance(one, ast.Return) and one.value is not None:
                value = one.value
                if place is not None and isinstance(value, ast.Tuple):
                    value = value.elts[place]
                found |= self.sentences(self.modules[home], value, (function,))
        return found

    def _is_caught(self, module: Module, node: ast.expr, scope: Scope) -> bool:
        """Whether this is an exception that says a sentence which was found where it was raised."""
        for around in scope:
            if isinstance(around, ast.ExceptHandler) and around.name == ast.unparse(node):
                assert around.type is not None
                kind = ast.unparse(around.type)
                return module.known_as.get(kind, kind) in self.carriers or kind == "ProfileError"
        return False


def _walk(node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
    for child in ast.iter_child_nodes(node):
        yield child, scope
        inner = (ast.ExceptHandler, ast.ClassDef, *_FUNCTIONS)
        yield from _walk(child, (*scope, child) if isinstance(child, inner) else scope)


def _place(module: Module, scope: Scope) -> str:
    names = [one.name for one in scope if isinstance(one, _FUNCTIONS)]
    return f"{module.name}.{names[-1]}" if names else module.name


def _loops(function: ast.AST) -> Iterator[ast.expr]:
    """The variables with which a function goes through lists of sentences."""
    for node in ast.walk(function):
        if isinstance(node, ast.comprehension) and ast.unparse(node.iter) in _LISTS:
            yield node.target


def _values_of(function: ast.AST, name: str) -> Iterator[tuple[ast.expr, int | None]]:
    """What is assigned to a name in a function, and its place where that is a tuple."""
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == name:
            yield node.value, None
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value, None
            if isinstance(target, ast.Tuple):
                for place, one in enumerate(target.elts):
                    if isinstance(one, ast.Name) and one.id == name:
                        if isinstance(node.value, ast.Tuple):
                            yield node.value.elts[place], None
                        else:
                            yield node.value, place


def _unknown(module: Module, node: ast.expr) -> UnknownSentenceError:
    return UnknownSentenceError(
        f"{module.path}:{node.lineno}: can't tell what is said by {ast.unparse(node)}"
    )


def read(name: str, path: str, source: str) -> Module:
    """A module as the finder wants it."""
    module = Module(name, path, ast.parse(source))
    for node in module.tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for one in targets:
                if isinstance(one, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    names = map(ast.unparse, one.elts)
                    module.constants |= dict(zip(names, node.value.elts, strict=True))
                else:
                    module.constants[ast.unparse(one)] = node.value
        elif isinstance(node, _FUNCTIONS):
            module.functions[node.name] = node
        if isinstance(node, (ast.ClassDef, *_FUNCTIONS)):
            module.known_as[node.name] = f"{name}.{node.name}"
    for node in ast.walk(module.tree):
        if isinstance(node, _FUNCTIONS):
            module.known_as.setdefault(node.name, f"{name}.{node.name}")
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                module.known_as[one.asname or one.name] = f"{node.module}.{one.name}"
    for short, full in list(module.known_as.items()):
        # A module that was imported: its functions and classes are called by its name.
        for known in CARRIERS:
            if known.startswith(full + "."):
                module.known_as[f"{short}.{known.removeprefix(full + '.')}"] = known
    return module


@functools.cache
def complaints() -> frozenset[str]:
    """Everything that services say to people in words of their own."""
    modules = {}
    for folder in ("services/api", "shared"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if path.startswith(_NOT_FOR_PEOPLE[0]):
                continue
            name = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            modules[name] = read(name, path, file.read_text())
    return frozenset(Finder(modules).every())
