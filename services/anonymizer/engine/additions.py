"""What a de-identified object must have afterwards, made where it is missing."""

import unicodedata
from collections.abc import Collection

from pydicom import DataElement, Dataset, Sequence
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR

from services.anonymizer.engine.context import Context
from shared.profile import Rule, source_profile

# Always there afterwards, whatever the table's row finds (2019 design, and PS3.3 C.7.1.1).
_REQUIRED = (0x00080050, 0x00080080, 0x00081010, 0x00100010, 0x00100020, 0x00120062, 0x00120063,
             0x00200010)  # fmt: skip
_CTP_BLOCK = (0x00131010, 0x00131011, 0x00131012, 0x00131013)
_MANUFACTURER = 0x00080070
ONLY_IF_MISSING = frozenset({_MANUFACTURER})
"""Of what `add_required` writes: what stays as it is where the object has it."""
_CTP_CREATOR, _CTP = 0x00130010, "CTP"
_CLEAN_CONTENT = "113104"
# PS3.16 CID 7050
_MEANINGS = {
    "113100": "Basic Application Confidentiality Profile",
    "113103": "Clean Graphics Option",
    _CLEAN_CONTENT: "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs Option",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}
_ASCII_FORMS = str.maketrans({"ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "å": "a", "Å": "A"})


def add_required(
    data_set: Dataset, settled: Context, had: Collection[int] = (), *, content: bool = False
) -> None:
    """Write the elements that every de-identified object carries into the top level.

    Parameters
    ----------
    had
        Which elements the original has.
    content
        Whether content items were cleaned.
    """
    plan, encodings = settled.plan, encodings_of(data_set)

    def rule_of(tag: int) -> Rule:
        return settled.profile.get(tag) or source_profile()[tag]

    def put(tag: int, vr: str, value: str) -> None:
        data_set[tag] = DataElement(tag, vr, fitting(value, encodings))

    for tag in _REQUIRED:
        value = settled.actions.placeholder(rule_of(tag))
        if value is not None:
            put(tag, dictionary_VR(tag), value)
    put(_CTP_CREATOR, "LO", _CTP)
    for tag in _CTP_BLOCK:
        put(tag, "LO", settled.actions.placeholder(rule_of(tag)) or "")
    for keyword, value in (
        ("ClinicalTrialSponsorName", plan.project),
        ("ClinicalTrialProtocolID", plan.project),
        ("ClinicalTrialProtocolName", plan.project),
        ("ClinicalTrialSiteID", plan.site),
        ("ClinicalTrialSiteName", plan.site),
        ("ClinicalTrialSubjectID", plan.participant),
        ("ClinicalTrialTimePointID", plan.event),
        ("ClinicalTrialTimePointDescription", plan.event),
    ):
        setattr(data_set, keyword, fitting(value, encodings))
    if _MANUFACTURER not in had:
        # Institution and station bring its module in, where it must be (PS3.3 C.7.5.1).
        put(_MANUFACTURER, "LO", "")
    data_set.LongitudinalTemporalInformationModified = settled.dates
    data_set.DeidentificationMethodCodeSequence = Sequence(
        [_code(value) for value in _options(rule_of(0x00120064), settled.dates, content)]
    )


def remove_foreign_block(data_set: Dataset) -> None:
    """Empty the private block of another creator that stands where the table's own one goes."""
    creator = data_set.get(_CTP_CREATOR)
    if creator is not None and creator.value != _CTP:
        for tag in list(data_set.keys()):
            if 0x00131000 <= tag <= 0x001310FF:
                del data_set[tag]


def _options(named: Rule, dates: str, content: bool) -> list[str]:
    """The options of PS3.15 E.3 that were applied to this object."""
    codes = sorted({*named.value.split("/"), *([_CLEAN_CONTENT] if content else [])})
    if dates == "UNMODIFIED":
        codes = ["113106" if code == "113107" else code for code in codes]
    return codes


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = _MEANINGS[value]
    return item


def encodings_of(*data_sets: Dataset) -> list[str]:
    """The codecs of the first data set that names a character set (items inherit, PS3.5 6.1)."""
    names = next((found for one in data_sets if (found := one.get("SpecificCharacterSet"))), None)
    return convert_encodings(names) if names and names != "ISO_IR 6" else ["ascii"]


def fitting(text: str, encodings: list[str]) -> str:
    """`text` as the character set can hold it: letters it lacks lose their accents."""
    try:
        text.encode(encodings[0])
    except (UnicodeEncodeError, LookupError):
        plain = unicodedata.normalize("NFKD", text.translate(_ASCII_FORMS))
        return plain.encode("ascii", "ignore").decode()
    return text
