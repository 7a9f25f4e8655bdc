"""What a de-identified object must have afterwards, made where it is missing."""

import unicodedata
from collections.abc import Callable

from pydicom import DataElement, Dataset, Sequence
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR

from services.anonymizer.engine.plan import Plan
from shared.profile import Action, Rule

# Always there afterwards, whatever the table's row finds (2019 design, and PS3.3 C.7.1.1).
_REQUIRED = (0x00080050, 0x00080080, 0x00081010, 0x00100010, 0x00100020, 0x00120062, 0x00120063,
             0x00200010)  # fmt: skip
_CTP_BLOCK = (0x00131010, 0x00131011, 0x00131012, 0x00131013)
_CTP_CREATOR, _CTP = 0x00130010, "CTP"
# PS3.16 CID 7050
_MEANINGS = {
    "113100": "Basic Application Confidentiality Profile",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
}
# The table claims these for every object; this engine neither cleans pixels, nor descriptors
# beyond the object's own identifiers, nor knows which private elements are safe: it claims none.
_NOT_DONE = frozenset({"113101", "113105", "113111"})
_ASCII_FORMS = str.maketrans({"ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "å": "a", "Å": "A"})


def add_required(data_set: Dataset, plan: Plan, placeholder: Callable[[Rule], str | None]) -> None:
    """Write the elements that every de-identified object carries into the top level."""
    encodings = encodings_of(data_set)

    def put(tag: int, vr: str, value: str) -> None:
        data_set[tag] = DataElement(tag, vr, fitting(value, encodings))

    for tag in _REQUIRED:
        rule = plan.profile.get(tag)
        value = placeholder(rule) if rule else None
        if value is not None:
            put(tag, dictionary_VR(tag), value)
    put(_CTP_CREATOR, "LO", plan.profile[_CTP_CREATOR].value)
    for tag in _CTP_BLOCK:
        put(tag, "LO", placeholder(plan.profile[tag]) or "")
    for keyword, value in (
        ("ClinicalTrialProtocolID", plan.project),
        ("ClinicalTrialProtocolName", plan.project),
        ("ClinicalTrialSiteName", plan.site),
        ("ClinicalTrialSubjectID", plan.participant),
        ("ClinicalTrialTimePointID", plan.event),
        ("ClinicalTrialTimePointDescription", plan.event),
    ):
        setattr(data_set, keyword, fitting(value, encodings))
    data_set.LongitudinalTemporalInformationModified = (
        plan.profile[0x00280303].value if plan.date_shift_days else "UNMODIFIED"
    )
    data_set.DeidentificationMethodCodeSequence = Sequence(
        [_code(value) for value in _options(plan)]
    )


def remove_foreign_block(data_set: Dataset) -> None:
    """Empty the private block of another creator that stands where the table's own one goes."""
    creator = data_set.get(_CTP_CREATOR)
    if creator is not None and creator.value != _CTP:
        for tag in list(data_set.keys()):
            if 0x00131000 <= tag <= 0x001310FF:
                del data_set[tag]


def _options(plan: Plan) -> list[str]:
    """The options of PS3.15 E.3 that were applied to this object."""
    named = plan.profile[0x00120064]
    assert named.action is Action.CODES
    codes = [code for code in named.value.split("/") if code not in _NOT_DONE]
    if not plan.date_shift_days:
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
