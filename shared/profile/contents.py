"""What a profile does with contents that the rules for single elements do not reach."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Content(StrEnum):
    """Kinds of content that each have a policy."""

    CURVES = "curves"
    """Groups 50xx, retired: drawn curves, physiological traces."""
    OVERLAYS = "overlays"
    """Groups 60xx: bitmaps and outlines over the image."""
    STRUCTURED_REPORTS = "structured-reports"
    """Content trees (PS3.3 C.17.3), and content items elsewhere."""
    DOCUMENTS = "encapsulated-documents"
    """PDF, CDA and models in (0042,0011)."""
    VIDEO = "video"
    """Video SOP classes, and any object in an MPEG transfer syntax."""
    RAW_DATA = "raw-data"
    """Objects whose content only their maker can read."""


class Policy(StrEnum):
    """What is done with a content."""

    KEEP = "keep"
    """It stays, after the identity sweep. Documents, which can't be changed, are held all the same
    where identifiers of the object are found in them."""
    CLEAN = "clean"
    """Texts and names are replaced unless their concept is known to be harmless."""
    REMOVE = "remove"
    HOLD = "hold"
    """The object waits for a person."""


POLICIES: Mapping[Content, tuple[Policy, ...]] = MappingProxyType(
    {
        Content.CURVES: (Policy.KEEP, Policy.REMOVE, Policy.HOLD),
        Content.OVERLAYS: (Policy.KEEP, Policy.REMOVE, Policy.HOLD),
        Content.STRUCTURED_REPORTS: (
            Policy.CLEAN,
            Policy.REMOVE,
            Policy.KEEP,
            Policy.HOLD,
        ),
        Content.DOCUMENTS: (Policy.HOLD, Policy.KEEP),
        Content.VIDEO: (Policy.HOLD, Policy.KEEP),
        Content.RAW_DATA: (Policy.HOLD, Policy.KEEP),
    }
)
"""The policies that a content can have. The first one is in force where a profile names none; of
curves, overlays and content trees as a whole only the base's own rows are."""
