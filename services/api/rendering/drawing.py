"""Draws a frame of a file as PNG or JPEG. Runs in a process of its own (`renderer`)."""

from io import BytesIO
from pathlib import Path

from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import pixel_array
from pydicom.uid import MPEGTransferSyntaxes

from services.api.rendering.describing import describe, of_frame, whole
from services.api.rendering.placing import OutsideError, Place, place, steepness
from services.api.rendering.shades import Bytes, colours, grey, palette
from services.api.rendering.wishes import JPEG, Failure, Wish
from shared.header import DEFLATED, read_header

_PIXELS = frozenset({0x7FE00010, 0x7FE00008, 0x7FE00009})
_MOST_PIXELS = 1 << 27  # of a frame; the largest mammograms have a quarter of that


class UnusableSizeError(Exception):
    """A frame has no pixels, or more than are looked at."""


def draw(path: Path, wish: Wish) -> bytes | Failure:
    """The picture of a frame. Overlays and other annotations are not drawn: they may hold names.

    Raises
    ------
    Exception
        Whatever broken files and pixels make the codecs raise.
    """
    header = read_header(path)
    if not _PIXELS & set(header.tags) or header.transfer_syntax in MPEGTransferSyntaxes:
        return Failure.NO_PICTURE
    described = describe(path)
    count = max(1, whole(described, "NumberOfFrames", 1))
    frame = wish.frame or count // 2 + 1
    if frame > count:
        return Failure.NO_FRAME
    columns, rows = whole(described, "Columns"), whole(described, "Rows")
    if not 0 < columns * rows <= _MOST_PIXELS:
        raise UnusableSizeError
    of_this = of_frame(described, frame)
    try:
        where = place(columns, rows, steepness(of_this), wish.region, wish.fit)
    except OutsideError:
        return Failure.OUTSIDE
    shown = _shown(path, of_this, frame, wish, deflated=header.transfer_syntax in DEFLATED)
    return _encoded(_placed(Image.fromarray(shown), where), wish)


def _shown(path: Path, described: Dataset, frame: int, wish: Wish, *, deflated: bool) -> Bytes:
    """A frame as it is shown, rows x columns, or x 3 in colour."""
    # Of a path only this frame is read and decoded; pydicom does so of what is not deflated.
    source = dcmread(path) if deflated else path
    stored = pixel_array(source, index=frame - 1)
    if stored.ndim == 3:
        return colours(stored, described)
    if described.get("PhotometricInterpretation") == "PALETTE COLOR":
        return palette(stored, described)
    return grey(stored, described, wish.window)


def _placed(image: Image.Image, where: Place) -> Image.Image:
    width, height = where.box[2] - where.box[0], where.box[3] - where.box[1]
    if (width, height) != where.size:
        larger = where.size[0] >= width and where.size[1] >= height
        kind = Image.Resampling.BICUBIC if larger else Image.Resampling.LANCZOS
        image = image.resize(where.size, kind, box=where.box, reducing_gap=3)
    elif where.box != (0, 0, *image.size):
        image = image.crop(tuple(map(round, where.box)))  # type: ignore[arg-type]
    if where.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if where.upside_down:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image


def _encoded(image: Image.Image, wish: Wish) -> bytes:
    target = BytesIO()
    if wish.media == JPEG:
        image.save(target, "JPEG", quality=wish.quality)
    else:
        image.save(target, "PNG")
    return target.getvalue()
