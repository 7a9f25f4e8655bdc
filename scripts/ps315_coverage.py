"""Makes docs/ps315-coverage.md: what each attribute of PS3.15 Tables E.1-1 and E.3.10-1 becomes.

python -m scripts.ps315_coverage > docs/ps315-coverage.md
"""

from services.anonymizer.engine.actions import Do
from services.anonymizer.engine.context import Context
from services.anonymizer.engine.identity import Collector
from services.anonymizer.engine.plan import Plan
from shared.profile import Action, Profile, source_profile
from shared.profile.ps315 import EDITION, Option, ps315_profile
from shared.profile.tables import rows

_HEAD = f"""# PS3.15 Table E.1-1, attribute by attribute

Made by `python -m scripts.ps315_coverage` from the tables and the engine's own decisions; a test
compares it. Edition {EDITION}. The first column of actions is the standard's Basic Profile; then
what the engine decides under the profile `ps3.15` without options, and under the default, the 2019
table. *sweep* keeps the value after the identity sweep, *items* goes into the sequence, *value*
replaces it, *concept* does what is right for the concept of the content item that it is in.

| tag | attribute | PS3.15 | `ps3.15` | `source-2019` |
|---|---|---|---|---|
"""
_SAFE_PRIVATE = """
## Table E.3.10-1, the safe private attributes

Element by element (`shared/profile/safe-private.csv`, which names its edition): what the engine
decides under `ps3.15` with the option `retain-safe-private`, and under the default. Under `ps3.15`
other private elements are removed, and without the option these too.

| creator | element | VR | meaning | `retain-safe-private` | `source-2019` |
|---|---|---|---|---|---|
"""
_WORDS = {
    Do.LEAVE: "stays", Do.REMOVE: "removed", Do.DESCEND: "items", Do.SWEEP: "sweep",
    Do.BYTES: "sweep", Do.HOLD: "held", Do.CONTENT: "concept",
}  # fmt: skip
_STUDY = "1.2.840.99999.1"


def _context(profile: Profile) -> Context:
    plan = Plan("PROJECT", bytes(32), "PARTICIPANT", date_shift_days=1, profile=profile)
    return Context(plan, _STUDY, "1.2.840.10008.5.1.4.1.1.2", "CT", Collector("").collected())


def _word(settled: Context, tag: int, vr: str, creator: str = "") -> str:
    decision = settled.actions.decide(tag, vr or "LO", creator)
    if vr == "UI" and decision.do in (Do.TEXTS, Do.BYTES):
        return "mapped"
    if decision.do is Do.WRITE:
        return "value" if decision.value else "emptied"
    if decision.do is Do.TEXTS:
        if decision.is_date:
            return "moved"
        return "value" if decision.why.startswith("the table:") else "sweep"
    return _WORDS[decision.do]


def _private(profile: Profile) -> str:
    return "removed" if profile.unlisted_private is Action.REMOVE else "sweep, or by rule"


def _safe_private() -> str:
    options = frozenset({Option.RETAIN_SAFE_PRIVATE.value})
    contexts = _context(ps315_profile(options)), _context(source_profile())
    lines = []
    for row in rows("safe-private.csv"):
        creator, vr = row["creator"], row["vr"]
        tag = int(f"{row['group']}10{row['element']}", 16)
        # Where the table states no VR, or two, a file that does not either says UN.
        own = " | ".join(_word(one, tag, vr if len(vr) == 2 else "UN", creator) for one in contexts)
        place = f"({row['group']},xx{row['element']})"
        lines.append(f"| {creator} | {place} | {vr} | {row['meaning']} | {own} |")
    return _SAFE_PRIVATE + "\n".join(lines) + "\n"


def page() -> str:
    """The page."""
    strict, default = _context(ps315_profile()), _context(source_profile())
    lines = []
    for row in rows("ps315.csv"):
        tag, vr = row["tag"], row["vr"]
        number = tag.strip("()").replace(",", "")
        if tag == "(gggg,eeee)":
            own = [_private(one.profile) for one in (strict, default)]
        elif number[:4] in ("0000", "0002", "0004"):
            own = ["written anew"] * 2  # file meta information and commands
        else:
            place = int(number.replace("x", "0"), 16)
            own = [_word(one, place, vr) for one in (strict, default)]
        lines.append(f"| {tag} | {row['name']} | {row['basic']} | {own[0]} | {own[1]} |")
    return _HEAD + "\n".join(lines) + "\n" + _safe_private()


if __name__ == "__main__":
    print(page(), end="")
