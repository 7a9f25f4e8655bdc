"""Every row of the 2019 table where the file states another VR than the row's attribute has.

Right is what the row says all the same, or that the object is held; wrong is a value that stays.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rowcases import (
    DEPTHS,
    KEPT,
    NAME,
    ROWS,
    Copy,
    Row,
    copy_of,
    encoded,
    expected,
    part10,
    path_of,
    values_of,
)

OVERWRITTEN = "X" * len(NAME)
"""How bytes are swept: in place."""


def disguises(row: Row) -> Iterator[tuple[str, bytes]]:
    """The row's element in other VRs."""
    if row.vr == "SQ":
        text = encoded("LO", [f"{NAME}, whose name is {NAME}"])
        yield from ((vr, text) for vr in ("LO", "UT", "UI", "OB", "UN"))
        return
    raw = encoded(row.vr, values_of(row, 1))
    others = ["OB", "UN", "LO" if row.vr != "LO" else "SH", "UT", "UI"]
    yield from ((vr, raw) for vr in others if vr != row.vr)
    yield "SQ", encoded("SQ", values_of(row, 1))


def wanted(row: Row, vr: str, raw: bytes, depth: str) -> list[dict[str, bytes | None]]:
    """What may stand in a copy; nothing at all may, where only holding the object is right."""
    if vr == "SQ":
        if row.action in (*KEPT, "remove", "empty"):
            return [expected(row._replace(vr="SQ"), values_of(row, 1), depth)]
        # What every copy gets at the top level takes the place of anything.
        return [expected(row, [], depth)] if row.writes and depth == "top level" else []
    text = raw.decode("latin-1").strip(" \0")
    as_stated = row._replace(vr=row.vr if vr == "UN" and row.vr != "SQ" else vr)
    if row.vr == "US":
        return [{path_of(row, depth): raw.strip(b"\0")}]
    found = [expected(as_stated, [text], depth)]
    if row.action in KEPT:
        found.append({path_of(row, depth): text.replace(NAME, OVERWRITTEN).encode()})
    return found


def assert_right(row: Row, vr: str, raw: bytes, copy: Copy, depths: tuple[str, ...]) -> None:
    about = f"{row} as {vr}"
    for depth in depths:
        allowed = wanted(row, vr, raw, depth)
        found = [{path: copy.values.get(path) for path in one} for one in allowed]
        matches = [one for one, there in zip(allowed, found, strict=True) if one == there]
        assert matches, f"{about}, {depth}: {found} stands there"
    assert NAME.lower().encode() not in copy.raw.lower(), f"{about}: a name is left"
    plain = raw.strip(b" \0")
    if row.action not in KEPT and vr != "SQ" and len(plain) >= 8:
        assert plain not in copy.raw, f"{about}: the value is left"


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_row_in_another_vr_is_obeyed_or_held(tmp_path: Path, row: Row) -> None:
    for vr, raw in disguises(row):
        for explain in (False, True):
            # Together; and where that is held, each depth for itself, so that none hides another.
            at_once = copy_of(part10(row.tag, (vr, raw), DEPTHS), tmp_path, explain=explain)
            if at_once is not None:
                assert_right(row, vr, raw, at_once, tuple(DEPTHS))
                continue
            for depth in DEPTHS:
                alone = copy_of(part10(row.tag, (vr, raw), [depth]), tmp_path, explain=explain)
                if alone is not None:
                    assert_right(row, vr, raw, alone, (depth,))
