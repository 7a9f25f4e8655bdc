"""Rules for vendors' private elements that are known to carry identifiers or dates."""

import csv
import struct
import zlib
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from services.anonymizer.engine.csa import clean_csa
from services.anonymizer.engine.tokens import Tokens
from services.anonymizer.engine.xprotocol import clean_protocol
from shared.identity import is_usable_uid

_BINARY_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_DAY = 86400
_MOST_INFLATED = 16 << 20


class PrivateAction(StrEnum):
    """What is done with a private element. The values are the words of `private.csv`."""

    REMOVE = "remove"
    EMPTY = "empty"
    CLEAN = "clean"
    """Identifiers, UIDs and known dates replaced in place."""
    CSA = "csa"
    """The same, value by value, in a Siemens CSA header."""
    PROTOCOL = "protocol"
    """The same in a Siemens protocol as text, and what its keys call personal."""
    UID = "uid"
    """Every value is a UID: the released ones."""
    DATE = "date"
    """Every value is a date or date-time: moved; what is none is emptied."""
    EPOCH = "epoch"
    """Seconds since 1970, 32 bits: moved."""
    GZIP = "gzip"
    """GE's protocol data block: its length, and a text compressed with gzip."""


class PrivateRule(NamedTuple):
    """One row of `private.csv`."""

    creator: str
    group: int
    element: int
    """The low byte: the high one is whichever block the creator has in the file."""
    action: PrivateAction
    source: str
    note: str


def private_rule(creator: str, tag: int) -> PrivateRule | None:
    """The rule for the private element `tag` of `creator`, if it is known to need one."""
    return rules().get((_folded(creator), tag >> 16, tag & 0xFF))


@lru_cache(maxsize=1)
def rules() -> dict[tuple[str, int, int], PrivateRule]:
    """All rules by creator, group and low byte."""
    lines = files("shared.profile").joinpath("private.csv").read_text("utf-8").splitlines()
    return {
        (_folded(rule.creator), rule.group, rule.element): rule
        for rule in map(_rule, csv.DictReader(lines))
    }


def _rule(row: dict[str, str]) -> PrivateRule:
    return PrivateRule(
        row["creator"],
        int(row["group"], 16),
        int(row["element"], 16),
        PrivateAction(row["action"]),
        row["source"],
        row["note"],
    )


@lru_cache(maxsize=1024)
def _folded(creator: str) -> str:
    return " ".join(creator.strip(" \0").upper().split())


def apply(
    rule: PrivateRule, vr: str, raw: bytes, tokens: Tokens, *, big_endian: bool = False
) -> bytes | None:
    """What becomes of the value `raw`, of even length; None removes the element.

    Parameters
    ----------
    vr
        The file's own, or a dictionary's.
    big_endian
        How the file stores numbers.
    """
    if rule.action is PrivateAction.REMOVE:
        return None
    if rule.action is PrivateAction.EMPTY or not raw:
        return b""
    if rule.action is PrivateAction.EPOCH:
        return _epoch(raw, tokens, ">" if big_endian else "<")
    return _CHANGES[rule.action](vr, raw, tokens)


def _uid(vr: str, raw: bytes, tokens: Tokens) -> bytes:
    """Every value mapped; where one is no UID, nothing is known of the value but its bytes."""
    words = raw.decode("latin-1").split("\\")
    uids = [word.strip(" \0") for word in words]
    if not all(not uid or is_usable_uid(uid) for uid in uids):
        return tokens.clean_bytes(raw)
    mapped = "\\".join(uid and tokens.map_uid(uid) for uid in uids).encode("ascii")
    return _even(mapped, b"\0")


def _date(vr: str, raw: bytes, tokens: Tokens) -> bytes:
    if vr in _BINARY_NUMBERS:
        return tokens.clean_bytes(raw)
    dates = [word.strip(" \0") for word in raw.decode("latin-1").split("\\")]
    moved = [tokens.moved(date) or "" if date else "" for date in dates]
    return _even("\\".join(moved).encode("ascii"), b" ")


def _epoch(raw: bytes, tokens: Tokens, order: str) -> bytes:
    if len(raw) % 4:
        return b""
    seconds = struct.unpack(f"{order}{len(raw) // 4}I", raw)
    # 0 means that there is no date.
    moved = [one and (one + tokens.days * _DAY) % (1 << 32) for one in seconds]
    return struct.pack(f"{order}{len(moved)}I", *moved)


def _gzip(vr: str, raw: bytes, tokens: Tokens) -> bytes | None:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = inflater.decompress(raw[4:], _MOST_INFLATED)
    except zlib.error:
        return None
    if not inflater.eof:
        return None  # cut off, or larger than any protocol is
    cleaned = tokens.clean_bytes(text)
    if cleaned == text and not inflater.unused_data.strip(b"\0"):
        return raw
    deflater = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = deflater.compress(cleaned) + deflater.flush()
    return _even(struct.pack("<I", len(packed)) + packed, b"\0")


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding * (len(value) % 2)


_CHANGES: dict[PrivateAction, Callable[[str, bytes, Tokens], bytes | None]] = {
    PrivateAction.CLEAN: lambda vr, raw, tokens: tokens.clean_bytes(raw),
    PrivateAction.CSA: lambda vr, raw, tokens: clean_csa(raw, tokens),
    PrivateAction.PROTOCOL: lambda vr, raw, tokens: clean_protocol(raw, tokens),
    PrivateAction.UID: _uid,
    PrivateAction.DATE: _date,
    PrivateAction.GZIP: _gzip,
}
