"""What rules read of an image."""

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from services.classifier.labels.language import Field
from shared.header import Header

FACTS: Mapping[str, str] = MappingProxyType(
    {
        "calling_aet": "AE title of the sender",
        "called_aet": "AE title that was called",
        "peer_address": "network address of the sender",
        "NumSlices": "Siemens CSA: slices of the protocol",
        "MeasID": "Siemens CSA: number of the measurement",
        "siemensUUID": "Siemens CSA: UUID of the measurement",
        "PhaseEncodingDirectionPositive": "Siemens CSA: 1 or 0",
        "siemensDiffusionInformation": "Siemens CSA: b-value and direction",
    }
)
"""The names that are no DICOM elements, and what they stand for."""

NO_EXTRA: Mapping[str, str | Sequence[str]] = MappingProxyType({})
_CHARACTER_SET = 0x00080005


class Facts(Protocol):
    """An image as rules see it."""

    def texts(self, field: Field) -> Sequence[str]:
        """The values, without padding; empty when missing or empty."""

    def key(self, fields: Sequence[Field]) -> Hashable:
        """Equal for images that agree in all these fields."""


class HeaderFacts:
    """The elements of a header, and what is known besides.

    Parameters
    ----------
    extra
        Facts that are not in the header, by the names of `FACTS`.
    """

    def __init__(self, header: Header, extra: Mapping[str, str | Sequence[str]] = NO_EXTRA) -> None:
        self._header = header
        self._extra = extra
        self._blocks: dict[tuple[int, str], int] | None = None

    def texts(self, field: Field) -> Sequence[str]:
        if not field.tag:
            value = self._extra.get(field.name, ())
            return value if not isinstance(value, str) else [value] if value else ()
        tag = self._private_tag(field) if field.creator else field.tag
        return self._header.texts(tag)

    def key(self, fields: Sequence[Field]) -> Hashable:
        header = self._header
        # Reading raw bytes costs a tenth of decoding them.
        return (
            header.raw(_CHARACTER_SET),
            *[
                header.raw(field.tag) if field.is_text else tuple(self.texts(field))
                for field in fields
            ],
        )

    def _private_tag(self, field: Field) -> int:
        """The tag of a creator's element in this file (PS3.5 7.8.1); 0 when it has none."""
        if self._blocks is None:
            self._blocks = self._reserved()
        block = self._blocks.get((field.tag >> 16, field.creator))
        return 0 if block is None else field.tag | block << 8

    def _reserved(self) -> dict[tuple[int, str], int]:
        header = self._header
        # (gggg,0010-00FF) of an odd group names the creator of block gg10 to ggFF.
        return {
            (tag >> 16, header.text(tag) or ""): tag & 0xFF
            for tag in header.tags
            if tag & 0x1FF00 == 0x10000 and tag & 0xFF >= 0x10
        }
