"""The DICOM JSON Model as the Native DICOM Model: the same data set in XML (PS3.19 annex A.1)."""

import re
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from services.api.dicomweb.attributes import Json, attribute

_NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
# What XML 1.0 can't hold, escaped or not.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(data_set: Json) -> bytes:
    """The XML document of a data set."""
    root = Element("NativeDicomModel", {"xmlns": _NAMESPACE, "xml:space": "preserve"})
    _add_elements(root, data_set)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add_elements(parent: Element, data_set: Json) -> None:
    for tag, content in sorted(data_set.items()):
        found = attribute(tag)
        described = {"tag": tag, "vr": content["vr"]}
        if found is not None and found.keyword:
            described["keyword"] = found.keyword
        node = SubElement(parent, "DicomAttribute", described)
        if "BulkDataURI" in content:
            SubElement(node, "BulkData", {"uri": content["BulkDataURI"]})
        elif "InlineBinary" in content:
            SubElement(node, "InlineBinary").text = content["InlineBinary"]
        for number, value in enumerate(content.get("Value", []), start=1):
            _add_value(node, content["vr"], str(number), value)


def _add_value(node: Element, vr: str, number: str, value: Any) -> None:
    if vr == "SQ":
        _add_elements(SubElement(node, "Item", {"number": number}), value or {})
    elif vr == "PN":
        name = SubElement(node, "PersonName", {"number": number})
        for representation, text in (value or {}).items():
            group = SubElement(name, representation)
            for part, content in zip(_PARTS, text.split("^"), strict=False):
                if content:
                    SubElement(group, part).text = _ILLEGAL.sub("", content)
    elif value is not None:
        SubElement(node, "Value", {"number": number}).text = _ILLEGAL.sub("", str(value))
