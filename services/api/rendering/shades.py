"""Stored values into what is shown (PS3.4 N.2: Modality LUT, VOI LUT, presentation)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from services.api.rendering.describing import first, whole
from services.api.rendering.wishes import Shape, Window

Stored = NDArray[Any]
Values = NDArray[np.float64]
Bytes = NDArray[np.uint8]

_SAMPLES = 1 << 20  # pixels that a window is guessed from
_TAILS = (1, 99)  # percentiles between which shades are spread
_SHAPES = {
    "LINEAR": Shape.LINEAR,
    "LINEAR_EXACT": Shape.LINEAR_EXACT,
    "SIGMOID": Shape.SIGMOID,
}


def grey(frame: Stored, described: Dataset, window: Window | None) -> Bytes:
    """A frame's grey shades, 0 black to 255 white.

    Parameters
    ----------
    frame
        Stored values, rows x columns.
    window
        Instead of what the image says.
    """
    curve = _curve(frame, described, window)
    if frame.dtype.kind not in "iub" or frame.dtype.itemsize > 2:
        return curve(frame)
    # So few different values that a table of them costs less, and large images stay small.
    least = int(frame.min())
    values = np.arange(least, int(frame.max()) + 1).astype(frame.dtype)
    return _looked_up(curve(values), frame, least)


def colours(frame: Stored, described: Dataset) -> Bytes:
    """A colour frame (rows x columns x 3) with 8 bits each."""
    surplus = whole(described, "BitsStored", 8) - 8
    if surplus > 0:
        frame = frame >> surplus
    return frame.astype(np.uint8)


def palette(frame: Stored, described: Dataset) -> Bytes:
    """The colours (rows x columns x 3) of a frame that has numbers of colours."""
    least = int(frame.min())
    values = np.arange(least, int(frame.max()) + 1).astype(frame.dtype)
    table = apply_color_lut(values, described)
    if table.dtype.itemsize > 1:
        table = table >> 8
    return _looked_up(table.astype(np.uint8), frame, least)


def _looked_up(table: Bytes, frame: Stored, least: int) -> Bytes:
    found: Bytes = table[np.subtract(frame, least, dtype=np.int32)]
    return found


def _curve(frame: Stored, described: Dataset, window: Window | None) -> Callable[[Stored], Bytes]:
    """Which shade a stored value gets, as a function of arrays."""
    chosen = window
    table = chosen is None and _table(described)
    if chosen is None and not table:
        chosen = _own_window(described) or _guessed(frame, described)
    inverted = described.get("PhotometricInterpretation") == "MONOCHROME1"

    def curve(stored: Stored) -> Bytes:
        values = _modality(stored, described)
        shown = _through_window(values, chosen) if chosen else _through_table(values, described)
        if inverted:
            shown = 1 - shown
        # What pads an image is no part of it (PS3.3 C.7.5.1.1.2), and background in every sense.
        shown[_padding(stored, described)] = 0
        found: Bytes = np.rint(shown * 255).astype(np.uint8)
        return found

    return curve


def _modality(stored: Stored, described: Dataset) -> Values:
    """The Modality LUT (PS3.3 C.11.1): values in the units of windows."""
    if not described.get("ModalityLUTSequence") and not first(described, "RescaleSlope"):
        return stored.astype(np.float64)
    found: Values = apply_modality_lut(stored, described).astype(np.float64)
    return found


def _table(described: Dataset) -> bool:
    """Whether there is a VOI LUT."""
    return bool(described.get("VOILUTSequence"))


def _through_table(values: Values, described: Dataset) -> Values:
    bits = int(described.VOILUTSequence[0].LUTDescriptor[2])
    found = apply_voi(np.rint(values).astype(np.int64), described)
    return np.clip(found / float((1 << bits) - 1), 0, 1)


def _own_window(described: Dataset) -> Window | None:
    center, width = first(described, "WindowCenter"), first(described, "WindowWidth")
    if center is None or width is None:
        return None
    shape = _SHAPES.get(str(described.get("VOILUTFunction", "")), Shape.LINEAR)
    found = Window(center, width, shape)
    return found if found.is_legal else None


def _guessed(frame: Stored, described: Dataset) -> Window:
    """A window of nearly all values, or of all where these are as good as one."""
    flat = frame.ravel()
    sample = flat[:: max(1, flat.size // _SAMPLES)]
    kept = sample[~_padding(sample, described)]
    values = _modality(kept if kept.size else sample, described)
    values = values[np.isfinite(values)]
    if not values.size:
        return Window(0, 1, Shape.LINEAR_EXACT)
    low, high = np.percentile(values, _TAILS)
    # 8 bits have no long tails; what is in few pixels, as a segment may be, is not one.
    if whole(described, "BitsStored", 16) <= 8 or low == high:
        low, high = values.min(), values.max()
    return Window(float(low + high) / 2, float(high - low) or 1, Shape.LINEAR_EXACT)


def _through_window(values: Values, window: Window) -> Values:
    """Shades from 0 to 1 (PS3.3 C.11.2.1.2)."""
    center, width, shape = window
    values = np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    if shape is Shape.SIGMOID:
        found: Values = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
        return found
    if shape is Shape.LINEAR:
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _padding(stored: Stored, described: Dataset) -> NDArray[np.bool_]:
    value = first(described, "PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, np.bool_)
    limit = first(described, "PixelPaddingRangeLimit")
    ends = sorted((value, value if limit is None else limit))
    found: NDArray[np.bool_] = (stored >= ends[0]) & (stored <= ends[1])
    return found
