"""What a file says about one frame of its pixels."""

import math
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword

# Where an enhanced object says these: in functional groups (PS3.3 C.7.6.16.2).
_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
_SHARED, _FRAMES = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_NAMES = """
    SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns BitsAllocated BitsStored
    PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit
    PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing PixelAspectRatio
    ModalityLUTSequence RescaleSlope RescaleIntercept
    VOILUTSequence WindowCenter WindowWidth VOILUTFunction
    RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor
    BluePaletteColorLookupTableDescriptor RedPaletteColorLookupTableData
    GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData
"""
_SEQUENCES = frozenset(map(tag_for_keyword, (_SHARED, _FRAMES)))
_TAGS = [
    tag for tag in map(tag_for_keyword, [*_NAMES.split(), _SHARED, _FRAMES]) if tag is not None
]


def describe(path: Path) -> Dataset:
    """The elements of a file that say how its pixels are shown; none of them tells of a patient.

    Raises
    ------
    Exception
        Whatever a broken file makes pydicom raise.
    """
    return dcmread(path, stop_before_pixels=True, specific_tags=[*_TAGS])


def of_frame(described: Dataset, frame: int) -> Dataset:
    """The same, with what functional groups say of a frame, counted from 1, in its usual place."""
    found = Dataset()
    # As they are stored: one that is broken harms only what needs it.
    for tag in set(described.keys()) - _SEQUENCES:
        found[tag] = described.get_item(tag)
    shared, frames = described.get(_SHARED) or [], described.get(_FRAMES) or []
    for item in [*shared[:1], *frames[frame - 1 : frame]]:
        for group, keywords in _GROUPS.items():
            for inner in (item.get(group) or [])[:1]:
                for keyword in keywords:
                    if keyword in inner:
                        found[keyword] = inner[keyword]
    return found


def whole(described: Dataset, keyword: str, default: int = 0) -> int:
    """A whole number, the first of several; `default` where there is none."""
    found = first(described, keyword)
    return default if found is None else int(found)


def first(described: Dataset, keyword: str) -> float | None:
    """A number, the first of several; None where there is none."""
    found = numbers(described, keyword)
    return found[0] if found else None


def numbers(described: Dataset, keyword: str) -> list[float]:
    """The numbers of an element; none where one of them is no finite number."""
    try:
        value: Any = described.get(keyword)
        values = [] if value is None else [value] if isinstance(value, int | float) else [*value]
        found = [float(one) for one in values]
    except (TypeError, ValueError):
        return []
    return found if all(map(math.isfinite, found)) else []
