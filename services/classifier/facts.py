"""Which header elements become facts, and under which names (the earlier system's series JSON)."""

from shared.header import Header

SERIES_FACTS: dict[str, int] = {
    "SOPClassUID": 0x00080016,
    "ImageType": 0x00080008,
    "StudyDate": 0x00080020,
    "StudyTime": 0x00080030,
    "SeriesTime": 0x00080031,
    "AccessionNumber": 0x00080050,
    "Modality": 0x00080060,
    "Manufacturer": 0x00080070,
    "InstitutionName": 0x00080080,
    "StationName": 0x00081010,
    "StudyDescription": 0x00081030,
    "SeriesDescription": 0x0008103E,
    "OperatorsName": 0x00081070,
    "ManufacturerModelName": 0x00081090,
    "PatientName": 0x00100010,
    "PatientID": 0x00100020,
    "PatientSex": 0x00100040,
    "ScanningSequence": 0x00180020,
    "SequenceVariant": 0x00180021,
    "ScanOptions": 0x00180022,
    "SequenceName": 0x00180024,
    "SliceThickness": 0x00180050,
    "RepetitionTime": 0x00180080,
    "EchoTime": 0x00180081,
    "SliceSpacing": 0x00180088,
    "SoftwareVersion": 0x00181020,
    "AcquisitionMatrix": 0x00181310,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "StudyID": 0x00200010,
    "SeriesNumber": 0x00200011,
    "InstanceNumber": 0x00200013,
    "NumberOfTemporalPositions": 0x00200105,
    "ImagesInAcquisition": 0x00201002,
    "SliceLocation": 0x00201041,
    "0019,105a": 0x0019105A,
    "0019,109c": 0x0019109C,
    "0019,10bb": 0x001910BB,
    "0021,104f": 0x0021104F,
    "0043,1039": 0x00431039,
    "0051,100a": 0x0051100A,
    "0051,100f": 0x0051100F,
    "2001,1020": 0x20011020,
}

_LONGEST = 256  # characters; a fact is a short thing, and private elements can be anything


def series_facts(header: Header) -> dict[str, str]:
    """The facts of a series as its first image states them; what is missing is left out."""
    facts = {}
    for name, tag in SERIES_FACTS.items():
        if text := header.text(tag):
            facts[name] = text.replace("\0", "")[:_LONGEST]
    return facts
