"""Which part of an image is shown, and how large."""

from typing import NamedTuple

from pydicom import Dataset

from services.api.rendering.describing import numbers
from services.api.rendering.wishes import Region

# Distances of pixels, down and across, by preference (PS3.3 10.7.1.3); lastly their mere ratio.
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
_STEEPEST = 20  # times as high as wide, or as wide as high; more is a mistake
_LONGEST = 16_384  # pixels


class OutsideError(Exception):
    """The region is not inside of the image."""


class Place(NamedTuple):
    """What is cut out, and what becomes of it."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels of the image."""
    size: tuple[int, int]
    """Width and height, in pixels of the picture."""
    mirrored: bool
    upside_down: bool


def steepness(described: Dataset) -> float:
    """How many times as high as wide a pixel is."""
    for keyword in _SPACINGS:
        found = numbers(described, keyword)
        if len(found) == 2 and min(found) > 0:
            ratio = found[0] / found[1]
            return ratio if 1 / _STEEPEST <= ratio <= _STEEPEST else 1
    return 1


def place(
    columns: int, rows: int, steep: float, region: Region | None, fit: tuple[int, int] | None
) -> Place:
    """Where an image goes (PS3.18 8.3.5.1.3).

    Raises
    ------
    OutsideError
        The region reaches beyond the image.
    """
    left, top, wide, high = region or Region()
    wide = columns - left if wide is None else wide
    high = rows - top if high is None else high
    box = (left, top, left + abs(wide), top + abs(high))
    if not (0 <= box[0] < box[2] <= columns and 0 <= box[1] < box[3] <= rows):
        raise OutsideError
    # Square pixels: what is too short is drawn longer, so that nothing is lost.
    width, height = abs(wide) * max(1, 1 / steep), abs(high) * max(1, steep)
    most = fit or (_LONGEST, _LONGEST)
    scale = min(most[0] / width, most[1] / height)
    if fit is None:
        scale = min(scale, 1)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Place(box, size, wide < 0, high < 0)
