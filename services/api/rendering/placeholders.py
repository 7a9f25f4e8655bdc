"""Pictures instead of pictures: a page never shows a broken image."""

import re
from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

from services.api.rendering.wishes import JPEG, PNG, Failure

_GROUND, _INK, _FAINT = 0xDD, 0x55, 0xC4
_WORDS = {
    Failure.NO_PICTURE: "no image",
    Failure.UNDECODABLE: "can't be shown",
    Failure.EVICTED: "original removed",
    Failure.MISSING: "not available now",
}


@lru_cache(maxsize=64)
def placeholder(failure: Failure, modality: str, size: tuple[int, int], media: str = PNG) -> bytes:
    """A grey picture that names the modality and says why it is not the image.

    Parameters
    ----------
    modality
        As received: only what can be one is shown.
    size
        Width and height, pixels.
    """
    name = modality.strip() if re.fullmatch(r"[A-Z0-9_ ]{1,16}", modality) else ""
    image = Image.new("L", size, _GROUND)
    pen = ImageDraw.Draw(image)
    if failure is not Failure.NO_PICTURE:
        pen.line([(0, 0), size], _FAINT, max(1, min(size) // 48))
        pen.line([(0, size[1]), (size[0], 0)], _FAINT, max(1, min(size) // 48))
    middle = size[0] / 2
    _write(pen, (middle, size[1] * 0.46), name or "?", size[0] * 0.9, min(size) / 4)
    _write(pen, (middle, size[1] * 0.70), _WORDS[failure], size[0] * 0.8, min(size) / 11)
    target = BytesIO()
    image.save(target, "JPEG" if media == JPEG else "PNG")
    return target.getvalue()


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, most: float, height: float
) -> None:
    """Write a text around a place, smaller than `height` where it is wider than `most`."""
    height = max(height, 4)
    wide = pen.textlength(text, ImageFont.load_default(height))
    font = ImageFont.load_default(max(4, height * min(1, most / wide)))
    pen.text(place, text, _INK, font, anchor="mm")
