"""What a file says, in the DICOM JSON Model."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement

from services.api.dicomweb.attributes import Json, key
from shared.header import read_header
from shared.spool import disk_trouble

_BULK = 1024  # bytes; a longer binary value is named, not given
_BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_PIXELS = {0x7FE00008: "OF", 0x7FE00009: "OD", 0x7FE00010: "OW"}
_MOST_DEPTH = 64


def read_data_set(path: Path, tags: Iterable[int] | None = None) -> pydicom.Dataset:
    """The data set before its pixels; long values are read when they are asked for.

    Parameters
    ----------
    tags
        Only these; None for all.

    Raises
    ------
    Retry
        The file can't be read.
    """
    with disk_trouble():
        return pydicom.dcmread(
            path,
            stop_before_pixels=True,
            defer_size=_BULK,
            specific_tags=None if tags is None else list(tags),
        )


def elements(path: Path, tags: Iterable[int]) -> Json:
    """Some top-level elements of a file; binary ones are left out."""
    wanted = set(tags)
    data_set = read_data_set(path, wanted)
    with disk_trouble():
        found = _data_set(data_set, None, 0)
    return {name: one for name, one in found.items() if int(name, 16) in wanted and len(one) > 1}


def metadata(path: Path, url: str) -> Json:
    """All elements of a file (PS3.18 10.4.1.1.2), long binary ones as URIs.

    Parameters
    ----------
    url
        Where bulk data is: `<url>/<path>`, the path being tags, and numbers of items between them.
    """
    data_set = read_data_set(path)
    with disk_trouble():
        found = _data_set(data_set, url, 0)
        header = read_header(path)
    for tag in _PIXELS.keys() & header.tags:
        vr = header.element(tag)[0].decode("ascii") or _PIXELS[tag]
        found[key(tag)] = {"vr": vr, "BulkDataURI": f"{url}/{key(tag)}"}
    return found


def _data_set(data_set: pydicom.Dataset, url: str | None, depth: int) -> Json:
    """A data set; without `url` what would be bulk data is left out."""
    found = {}
    for tag in sorted(data_set.keys()):
        content = _element(data_set, int(tag), f"{url}/{key(tag)}" if url else None, depth)
        if content is not None:
            found[key(tag)] = content
    return found


def _element(data_set: pydicom.Dataset, tag: int, url: str | None, depth: int) -> Json | None:
    raw = data_set.get_item(tag, keep_deferred=True)
    if isinstance(raw, RawDataElement) and raw.length > _BULK and _vr(raw) in _BULK_VRS:
        return {"vr": _vr(raw), "BulkDataURI": url} if url else None
    try:
        one: DataElement = data_set[tag]
        if one.VR == "SQ":
            return _sequence(one, url, depth)
        return _finite(
            one.to_json_dict(bulk_data_element_handler=None, bulk_data_threshold=1 << 40)
        )
    except OSError:
        raise  # the disk's fault, not the value's
    except Exception:  # whatever a broken value makes pydicom raise
        return {"vr": _vr(raw)}


def _sequence(one: DataElement, url: str | None, depth: int) -> Json:
    if depth >= _MOST_DEPTH or not one.value:
        return {"vr": "SQ"}
    return {
        "vr": "SQ",
        "Value": [
            _data_set(item, f"{url}/{number}" if url else None, depth + 1)
            for number, item in enumerate(one.value, start=1)
        ],
    }


def _vr(element: Any) -> str:
    if element.VR and element.VR != "UN":
        return str(element.VR)
    try:
        return dictionary_VR(element.tag).split()[0]
    except KeyError:
        return "UN"


def _finite(content: Json) -> Json:
    """JSON has no numbers for what is infinite or none: they are texts (PS3.18 F.2.2)."""
    for number, value in enumerate(content.get("Value", [])):
        if isinstance(value, float) and not math.isfinite(value):
            content["Value"][number] = {"inf": "inf", "-inf": "-inf"}.get(str(value), "NaN")
    return content
