"""How a client wants a picture: the parameters of PS3.18 section 8.3.5."""

import math
from collections.abc import Callable
from typing import NamedTuple

from starlette.datastructures import QueryParams

from services.api.problems import FieldError, ProblemError
from services.api.rendering.wishes import Region, Shape, Window, Wish

_LARGEST = 4096  # pixels of a viewport's side
_LARGEST_THUMBNAIL = 1024
_THUMBNAIL = 192
_FARTHEST = 1e9
_UNSUPPORTED = ("annotation", "iccprofile", "charset")
_VIEWPORT = f"viewport=width,height or width,height,x,y,width,height; at most {_LARGEST} pixels."
_SMALL = f"viewport=width,height, at most {_LARGEST_THUMBNAIL} pixels."
_WINDOW = "window=center,width,function; the function is linear, linear-exact or sigmoid."
_QUALITY = "A whole number from 1 to 100."


class Asked(NamedTuple):
    """What was understood, and what was not."""

    wish: Wish
    warnings: list[str]


def rendered(parameters: QueryParams) -> Asked:
    """The picture that the parameters of a URL ask for; a 400 problem where they are wrong."""
    wish, warnings = Wish(), []
    for name, value in parameters.multi_items():
        if name == "viewport":
            fit, region = _viewport(value)
            wish = wish._replace(fit=fit, region=region)
        elif name == "window":
            wish = wish._replace(window=_window(value))
        elif name == "quality":
            wish = wish._replace(quality=_whole(name, value, 100, _QUALITY))
        elif name in _UNSUPPORTED:
            warnings.append(f"The {name} parameter is not supported. Nothing has come of it.")
        elif name != "accept":
            raise _wrong(name, "There is no such parameter.")
    return Asked(wish, warnings)


def thumbnail(parameters: QueryParams) -> Asked:
    """The same of a thumbnail, which has a viewport's size only."""
    wish = Wish(fit=(_THUMBNAIL, _THUMBNAIL))
    for name, value in parameters.multi_items():
        if name == "viewport":
            parts = value.split(",")
            if len(parts) != 2:
                raise _wrong(name, _SMALL)
            wish = wish._replace(fit=_size(parts, _LARGEST_THUMBNAIL, _SMALL))
        elif name != "accept":
            raise _wrong(name, "There is no such parameter of thumbnails.")
    return Asked(wish, [])


def _viewport(value: str) -> tuple[tuple[int, int], Region | None]:
    """Width and height, and the region, whose parts may be left out (PS3.18 8.3.5.1.3)."""
    parts = value.split(",")
    if not 2 <= len(parts) <= 6:
        raise _wrong("viewport", _VIEWPORT)
    fit = _size(parts[:2], _LARGEST, _VIEWPORT)
    if len(parts) == 2:
        return fit, None
    number: Callable[[str], float] = lambda text: _number("viewport", text, _VIEWPORT)  # noqa: E731
    left, top, wide, high = (
        number(text) if text else None for text in [*parts[2:], *[""] * (6 - len(parts))]
    )
    if min(left or 0, top or 0) < 0 or 0 in (wide, high):
        raise _wrong("viewport", _VIEWPORT)
    return fit, Region(left or 0, top or 0, wide, high)


def _size(parts: list[str], most: int, words: str) -> tuple[int, int]:
    width, height = (_whole("viewport", one, most, words) for one in parts)
    return width, height


def _window(value: str) -> Window:
    """Center, width and function (PS3.18 8.3.5.1.4); many leave the function out."""
    parts = value.split(",")
    shape = parts[2] if len(parts) == 3 else Shape.LINEAR.value
    if len(parts) not in (2, 3) or shape not in {*Shape}:
        raise _wrong("window", _WINDOW)
    center, width = (_number("window", one, _WINDOW) for one in parts[:2])
    found = Window(center, width, Shape(shape))
    if not found.is_legal:
        raise _wrong("window", "The width is at least 1; of the other functions more than 0.")
    return found


def _whole(name: str, value: str, most: int, words: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 6 and 1 <= int(value) <= most):
        raise _wrong(name, words)
    return int(value)


def _number(name: str, value: str, words: str) -> float:
    try:
        found = float(value) if len(value) <= 32 and value.isascii() else math.nan
    except ValueError:
        found = math.nan
    if not abs(found) <= _FARTHEST:
        raise _wrong(name, words)
    return found


def _wrong(name: str, message: str) -> ProblemError:
    # The name is the sender's own text: as much of it as helps.
    error = FieldError(field=name[:64], message=message)
    return ProblemError(400, "This rendering is not understood.", [error])
