"""Takes a `multipart/related` body apart while it arrives (RFC 2387, RFC 2046 section 5.1)."""

from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

_LONGEST_BOUNDARY = 200  # RFC 2046 5.1.1 has 70; Orthanc makes 73


class BrokenError(ValueError):
    """The body is not what its boundary promises, or ends before its last one."""


class Sink(Protocol):
    """Where the parts go."""

    def begin(self, content_type: str) -> None:
        """A part begins; `content_type` is empty where it does not say."""

    def write(self, data: memoryview) -> None:
        """More of the part."""

    def end(self) -> None:
        """All of the part was there."""


class Parts:
    """Feeds the parts of one body to `sink`; holds no more of it than one header.

    Raises
    ------
    BrokenError
        There can't be such a boundary.
    """

    def __init__(self, boundary: str, sink: Sink) -> None:
        if not 0 < len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
            raise BrokenError
        self._sink = sink
        self._name, self._value = b"", b""
        self._content_type = ""
        self._complete = False
        self._parser = MultipartParser(
            boundary.encode("ascii"),
            {
                "on_part_begin": self._on_begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._sink.end,
                "on_end": self._on_end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Take the next piece.

        Raises
        ------
        BrokenError
            It does not go on like this.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise BrokenError from None

    def finish(self) -> None:
        """The body is over.

        Raises
        ------
        BrokenError
            The last boundary is missing.
        """
        if not self._complete:
            raise BrokenError

    def _on_begin(self) -> None:
        self._content_type = ""
        self._name, self._value = b"", b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._name.lower() == b"content-type":
            self._content_type = self._value.decode("latin-1")
        self._name, self._value = b"", b""

    def _on_headers(self) -> None:
        self._sink.begin(self._content_type)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._sink.write(memoryview(data)[start:end])

    def _on_end(self) -> None:
        self._complete = True
