"""What is to be done with an element: the one place that both readers of a file ask.

A decision depends on tag, value representation and private creator only, never on the value, so it
is made once for many objects. How a value is read and written is the readers' business.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from services.anonymizer.engine import documents
from services.anonymizer.engine.dates import shifted
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.private import PrivateAction, apply, private_rule
from services.anonymizer.engine.sweep import Sweep
from services.anonymizer.engine.tokens import Tokens, is_uid_like
from services.anonymizer.engine.uids import KINDS, keeps_uids, released
from shared.identity import is_usable_uid
from shared.profile import DUMMIES, Action, Profile, Rule
from shared.profile.contents import Content, Policy
from shared.profile.edits import edited
from shared.profile.elements import vr_of
from shared.schemes import Identifiers, Scheme

SPECIFIC_CHARACTER_SET = 0x00080005
ENCAPSULATED_DOCUMENT = 0x00420011
CONTENT_ITEM = frozenset({0x0040A040, 0x0040A160})
"""ValueType, TextValue: a data set with one of them is a content item."""
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_TEXT_VRS = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
# Codes, numbers and times: a part of them can't be replaced, but all of one can be an identifier.
_CODE_VRS = frozenset({"AS", "CS", "DA", "DS", "DT", "IS", "TM"})
_NUMBER_VRS = frozenset({"AS", "DS", "IS", "TM"})
_SHORTEST_IN_NUMBERS = 8
"""Characters of an identifier in a standard number or time: 10000 is a repetition time, 101500 a
time of day."""


class Do(Enum):
    """The ways to treat an element."""

    LEAVE = "leave"
    """The bytes stay."""
    REMOVE = "remove"
    DESCEND = "descend"
    """A sequence: its items' elements are decided one by one."""
    TEXTS = "texts"
    """Each value goes through `Decision.texts`."""
    SWEEP = "sweep"
    """The same; a value that its character set can't read goes through `Decision.raw` instead."""
    BYTES = "bytes"
    """The value's bytes go through `Decision.raw`; None removes the element."""
    WRITE = "write"
    """The value becomes `Decision.value`."""
    CONTENT = "content"
    """What becomes of it depends on the concept of the content item that it is in (`content`)."""
    HOLD = "hold"
    """No value can be right: the object is held."""


def _is_creator(tag: int) -> bool:
    """Whether an element opens a private block (PS3.5 section 7.8.1)."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


def _same(text: str) -> str:
    return text


def _never(text: str) -> bool:
    return False


def _same_bytes(raw: bytes) -> bytes | None:
    return raw


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with elements of one tag, VR and creator, and why."""

    do: Do
    why: str
    texts: Callable[[str], str] = _same
    raw: Callable[[bytes], bytes | None] = _same_bytes
    value: str = ""
    is_date: bool = False
    also_empty: bool = False
    """`texts` is for an element without a value too."""


class Actions:
    """The decisions for objects of one plan that identify themselves alike.

    Parameters
    ----------
    profile
        The plan's, resolved for the kind of object.
    """

    def __init__(
        self,
        plan: Plan,
        profile: Profile,
        identifiers: Identifiers,
        sweep: Sweep,
        tokens: Tokens,
        *,
        big_endian: bool,
    ) -> None:
        self._plan, self._profile = plan, profile
        self._identifiers, self._sweep, self._tokens = identifiers, sweep, tokens
        self._big_endian = big_endian
        self._keeps_uids = keeps_uids(profile)
        self.cleans_content = profile.policy(Content.STRUCTURED_REPORTS) is Policy.CLEAN
        self._made: dict[tuple[int, str, str], Decision] = {}

    def decide(self, tag: int, vr: str, creator: str = "") -> Decision:
        """The decision for an element.

        Parameters
        ----------
        vr
            The file's own, or in implicit VR the dictionary's, or UN.
        creator
            Of the private block that the element is in, or opens.
        """
        key = tag, vr, creator
        decision = self._made.get(key)
        if decision is None:
            decision = self._made[key] = self._decide(tag, vr, creator)
        return decision

    def placeholder(self, rule: Rule) -> str | None:
        """The text that `rule` puts in place of a value; None keeps the value."""
        plan = self._plan
        return {
            Action.LITERAL: rule.value,
            Action.PARTICIPANT: plan.participant,
            Action.PROJECT: plan.project,
            Action.SITE_NAME: plan.site,
            Action.SITE_ID: plan.site,
            Action.STUDYHASH: self._identifiers.study_hash(),
        }.get(rule.action)

    def _decide(self, tag: int, vr: str, creator: str) -> Decision:
        if tag & 0xFFFF == 0:
            return Decision(Do.REMOVE, "group lengths are retired")
        if tag == ENCAPSULATED_DOCUMENT:
            return self._document(vr)
        if tag in CONTENT_ITEM and self.cleans_content:
            return Decision(Do.CONTENT, "a content item")
        rule = self._profile.get(tag)
        if rule is None and creator and not _is_creator(tag):
            rule = self._profile.private(creator, tag & 0xFF, tag >> 16)
        if rule is None or rule.action in (Action.KEEP, Action.PROCESS, Action.BODY_PART):
            return self._kept(tag, vr, creator, rule)
        return self.ruled(tag, vr, rule)

    def kept(self, tag: int, vr: str, why: str) -> Decision:
        """The decision for an element that is kept by more than the table's silence."""
        return self._kept(tag, vr, "", Rule(tag, why, Action.KEEP))

    def _document(self, vr: str) -> Decision:
        if vr == "SQ" or self._profile.policy(Content.DOCUMENTS) is not Policy.KEEP:
            return Decision(Do.HOLD, "an encapsulated document")
        raw = partial(documents.checked, self._tokens)
        return Decision(Do.BYTES, "a document that the project permits", raw=raw)

    def _kept(self, tag: int, vr: str, creator: str, rule: Rule | None) -> Decision:
        why = "kept by the table" if rule else "not in the table"
        is_creator = _is_creator(tag)
        if tag >> 16 & 1 and not is_creator:
            named = self._private(tag, vr, creator, rule)
            if named is not None:
                return named
        if vr == "SQ":
            return Decision(Do.DESCEND, why)
        if is_creator and rule is None and not self._opens(creator, tag >> 16):
            return Decision(Do.REMOVE, "nothing of its block is kept")
        if (
            is_creator
            or tag == SPECIFIC_CHARACTER_SET
            or (tag in _PIXELS and vr not in _TEXT_VRS | _CODE_VRS)
        ):
            return Decision(Do.LEAVE, "structure")
        if vr == "UI":
            if rule is not None or tag in KINDS or self._keeps_uids:
                raw, own = self._tokens.clean_bytes, tag in KINDS or vr_of(tag) == "UI"
                texts = partial(self._kept_uid, own=own or self._keeps_uids)
                return Decision(Do.SWEEP, why, texts=texts, raw=raw)
            return self._uid(tag, None, why)
        if vr in ("DA", "DT") and rule is None:
            # It would give the shift of the others away.
            return self._date(why, unless=self._sweep.is_one)
        if vr in _TEXT_VRS:
            tokens = self._tokens
            return Decision(Do.SWEEP, why, texts=tokens.clean_text, raw=tokens.clean_bytes)
        if vr in _NUMBER_VRS and not tag >> 16 & 1:
            return Decision(Do.TEXTS, why, texts=self._without_long_identifier)
        if vr in _CODE_VRS:
            return Decision(Do.TEXTS, why, texts=self._without_identifier)
        # Bytes, and numbers too: in implicit VR a dictionary only guesses that they are some.
        return Decision(Do.BYTES, why, raw=self._tokens.clean_bytes)

    def _opens(self, creator: str, group: int) -> bool:
        """Whether the block of a private creator may have something in it afterwards."""
        unlisted_stay = self._profile.unlisted_private is not Action.REMOVE
        return unlisted_stay or self._profile.keeps_private(creator, group)

    def _private(self, tag: int, vr: str, creator: str, rule: Rule | None) -> Decision | None:
        """What is done because of the creator, to what a rule keeps too; None for nothing."""
        if rule is None and self._profile.unlisted_private is Action.REMOVE:
            return Decision(Do.REMOVE, "private, and not known to be safe")
        named = private_rule(creator, tag)
        if named is None:
            return None
        why = f"known of {creator}: {named.note}"
        if named.action is PrivateAction.REMOVE:
            return Decision(Do.REMOVE, why)
        if named.action is PrivateAction.EMPTY:
            return Decision(Do.WRITE, why)
        if vr == "SQ":
            return None

        def treat(raw: bytes) -> bytes | None:
            return apply(named, vr, raw, self._tokens, big_endian=self._big_endian)

        return Decision(Do.BYTES, why, raw=treat)

    def ruled(self, tag: int, vr: str, rule: Rule) -> Decision:
        """The decision for an element that a rule changes."""
        action, why = rule.action, f"the table: {rule.action.value}"
        if action is Action.REMOVE:
            return Decision(Do.REMOVE, why)
        if action is Action.HOLD:
            return Decision(Do.HOLD, f"the profile holds objects with {rule.name}")
        if action is Action.EMPTY:
            return Decision(Do.WRITE, why)
        if vr == "SQ" and action is Action.DUMMY:
            return Decision(Do.WRITE, why)  # an item with nothing in it says no more
        if vr == "SQ":
            # The table names a value where this object has a sequence: no value can be right.
            if action is not Action.CODES:
                return Decision(Do.HOLD, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is a sequence")
            return Decision(Do.DESCEND, why)
        if action in (Action.HASHUID, Action.HASHUID_PROJECT):
            return self._uid(tag, action, why)
        if action is Action.INCREMENTDATE:
            return self._date(why)
        if action is Action.HASH:
            # The earlier system hashed empty values too, and later ones must equal its own.
            hashed = partial(self._identifiers.value_hash, vr)
            legacy = self._plan.scheme is not Scheme.KEYED
            return Decision(Do.TEXTS, why, texts=hashed, also_empty=legacy)
        if action is Action.REGEX:
            edit = partial(edited, rule.pattern, rule.value)
            tokens = self._tokens
            return Decision(Do.TEXTS, why, texts=lambda text: tokens.clean_text(edit(text)))
        if action is Action.DUMMY:
            return self.dummy(tag, vr, why)
        value = self.placeholder(rule)
        if value is None:
            return Decision(Do.HOLD, f"no value for {action.value}")
        return Decision(Do.WRITE, why, value=value)

    def dummy(self, tag: int, vr: str, why: str) -> Decision:
        """A value that is legal and says nothing."""
        if vr == "UI":
            return self._uid(tag, None, why)
        dummy = DUMMIES.get(vr)
        if dummy is None:
            return Decision(Do.HOLD, f"no dummy value for {vr}")
        if vr in _TEXT_VRS | _CODE_VRS:
            return Decision(Do.WRITE, why, value=dummy.decode("ascii"))
        return Decision(Do.BYTES, why, raw=lambda _: dummy)

    def _uid(self, tag: int, action: Action | None, why: str) -> Decision:
        return Decision(Do.TEXTS, why, texts=partial(released, self._identifiers, tag, action))

    def _date(self, why: str, unless: Callable[[str], bool] = _never) -> Decision:
        days = self._plan.date_shift_days

        def move(text: str) -> str:
            return "" if unless(text) else shifted(text, days) or ""

        return Decision(Do.TEXTS, why, texts=move, is_date=True)

    def _without_identifier(self, text: str) -> str:
        if self._sweep.is_one(text) or self._tokens.clean_text(text) != text:
            return ""
        return text

    def _without_long_identifier(self, text: str) -> str:
        return text if len(text) < _SHORTEST_IN_NUMBERS else self._without_identifier(text)

    def _kept_uid(self, text: str, *, own: bool) -> str:
        """A UID that is kept where it belongs; texts are found there too, and UIDs elsewhere."""
        if not is_usable_uid(text):
            return self._tokens.clean_text(text)
        return text if own or not is_uid_like(text) else self._tokens.map_uid(text)
