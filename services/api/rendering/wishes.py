"""How a picture of an instance is wanted."""

from enum import StrEnum
from typing import NamedTuple

JPEG, PNG = "image/jpeg", "image/png"


class Shape(StrEnum):
    """How values of a window become shades (PS3.3 C.11.2.1.2)."""

    LINEAR = "linear"
    LINEAR_EXACT = "linear-exact"
    SIGMOID = "sigmoid"


class Window(NamedTuple):
    """A window, in the units of the Modality LUT's output."""

    center: float
    width: float
    shape: Shape = Shape.LINEAR

    @property
    def is_legal(self) -> bool:
        """Whether the width is one (PS3.3 C.11.2.1.2.1)."""
        return self.width >= 1 or (self.shape is not Shape.LINEAR and self.width > 0)


class Region(NamedTuple):
    """A part of the image, in its own pixels (PS3.18 8.3.5.1.3)."""

    left: float = 0
    top: float = 0
    width: float | None = None
    """Down to the right edge where it is None; negative: mirrored."""
    height: float | None = None


class Wish(NamedTuple):
    """What is drawn of an instance."""

    media: str = PNG
    frame: int | None = None
    """Counted from 1; None for the one in the middle."""
    fit: tuple[int, int] | None = None
    """Width and height that it fills as far as its proportions allow; None for its own size."""
    region: Region | None = None
    window: Window | None = None
    """Instead of the image's own."""
    quality: int = 90
    """Of JPEG, 1 to 100."""


class Failure(StrEnum):
    """Why there is no picture."""

    NO_PICTURE = "no picture"
    """It is no image: a report, a document, a curve, a video."""
    NO_FRAME = "no such frame"
    OUTSIDE = "outside of the image"
    UNDECODABLE = "can't be decoded"
    EVICTED = "file was removed in its time"
    MISSING = "file can't be read"
    BUSY = "too much is being drawn"
