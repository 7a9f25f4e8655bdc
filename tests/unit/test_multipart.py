"""Taking `multipart/related` bodies apart, however they arrive."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.dicomweb import media
from services.api.dicomweb.parts import BrokenError, Parts

# Contents that look like boundaries as often as can be.
_PIECES = st.sampled_from([b"\r\n", b"--", b"\r\n--", b"b", b"bo", b"\r", b"\n", b"x", b"\0"])
_CONTENT = st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=30).map(b"".join))


class Collected:
    def __init__(self) -> None:
        self.parts: list[tuple[str, bytes]] = []
        self.open = False

    def begin(self, content_type: str) -> None:
        assert not self.open
        self.open = True
        self.parts.append((content_type, b""))

    def write(self, data: memoryview) -> None:
        assert self.open
        kind, before = self.parts[-1]
        self.parts[-1] = kind, before + bytes(data)

    def end(self) -> None:
        assert self.open
        self.open = False


def feed(parts: Parts, body: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        parts.feed(body[start:end])


@given(st.lists(_CONTENT, min_size=1, max_size=5), st.lists(st.integers(0, 5000), max_size=40))
def test_parts_come_out_as_they_went_in_wherever_the_body_is_cut(
    contents: list[bytes], cuts: list[int]
) -> None:
    boundary = "bound"
    contents = [one.replace(b"\r\n--bound", b"") for one in contents]
    head = b"\r\nContent-Type: application/dicom\r\nX-Other: y\r\n\r\n"
    body = b"".join(b"\r\n--bound" + head + one for one in contents) + b"\r\n--bound--\r\n"
    collected = Collected()
    parts = Parts(boundary, collected)
    feed(parts, body, cuts)
    parts.finish()
    assert collected.parts == [("application/dicom", one) for one in contents]


@given(
    st.binary(max_size=500) | st.lists(_PIECES, max_size=60).map(b"".join),
    st.lists(st.integers(0, 500)),
)
def test_anything_else_ends_in_one_kind_of_error(body: bytes, cuts: list[int]) -> None:
    parts = Parts("b", Collected())
    try:
        feed(parts, body, cuts)
        parts.finish()
    except BrokenError:
        return


def test_a_header_without_end_is_not_kept() -> None:
    parts = Parts("b", Collected())
    parts.feed(b"--b\r\nContent-Type: ")
    with pytest.raises(BrokenError):
        for _ in range(100):
            parts.feed(b"x" * 1000)


@pytest.mark.parametrize("boundary", ["", "x" * 201, "ø"])
def test_an_impossible_boundary(boundary: str) -> None:
    with pytest.raises(BrokenError):
        Parts(boundary, Collected())


@given(st.text(max_size=200))
def test_any_text_can_be_read_as_a_media_type(text: str) -> None:
    kind = media.parse(text)
    assert kind.name == kind.name.strip()
