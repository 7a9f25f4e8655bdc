"""Synthetic studies: realistic headers and pixels, and not one real person in them."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from pydicom import DataElement, Dataset, Sequence
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from demo.people import Person, invent
from demo.siemens import csa_header

CT, MR, US = (
    UID("1.2.840.10008.5.1.4.1.1.2"),
    UID("1.2.840.10008.5.1.4.1.1.4"),
    UID("1.2.840.10008.5.1.4.1.1.6.1"),
)


@dataclass(frozen=True)
class Study:
    """A study before it is sent."""

    title: str
    person: Person
    instances: list[Dataset]

    @property
    def uid(self) -> str:
        """The original StudyInstanceUID."""
        return str(self.instances[0].StudyInstanceUID)


class Maker:
    """Makes studies, the same ones for the same seed.

    Parameters
    ----------
    size
        Rows and columns of CT images; those of MR are half of it.
    """

    def __init__(self, seed: int, size: int = 512) -> None:
        self._rng = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._seed, self._size = seed, size
        self._made = 0

    def ct(self, slices: int, patient_id: str | None = None) -> Study:
        """A CT of the thorax."""
        person, common, when = self._study(patient_id)
        series = self._uid()
        frame_of_reference = self._uid()
        instances = []
        for number in range(1, slices + 1):
            image = self._image(common, CT, series, number, when)
            image.Modality, image.Manufacturer = "CT", "Phantom Medical Systems"
            image.ManufacturerModelName = "Tomograph 9"
            image.StudyDescription = "CT thorax med kontrast"
            image.SeriesDescription = f"Thorax 1.0 B30f {image.PatientName.family_name}"
            image.SeriesNumber = "2"
            image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
            image.BodyPartExamined = "CHEST"
            image.KVP, image.SliceThickness = "120", "1"
            image.FrameOfReferenceUID = frame_of_reference
            image.ImagePositionPatient = ["-180", "-180", str(-float(number))]
            image.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
            image.PixelSpacing = ["0.7", "0.7"]
            image.RescaleIntercept, image.RescaleSlope = "-1024", "1"
            self._pixels(image, self._size, scale=2000)
            instances.append(image)
        return Study("CT thorax", person, instances)

    def mr(self, slices: int, patient_id: str | None = None) -> Study:
        """A diffusion MR of the head with Siemens private blocks and nested sequences."""
        person, common, when = self._study(patient_id)
        series, localizer = self._uid(), self._uid()
        frame_of_reference = self._uid()
        instances = []
        for number in range(1, slices + 1):
            image = self._image(common, MR, series, number, when)
            image.Modality, image.Manufacturer = "MR", "SIEMENS"
            image.ManufacturerModelName = "Phantom Prisma"
            image.StudyDescription = "MR caput"
            image.SeriesDescription = "ep2d_diff_mddw_30"
            image.SeriesNumber = "5"
            image.ProtocolName = "ep2d_diff_mddw_30"
            image.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
            image.ScanningSequence, image.SequenceVariant = "EP", ["SK", "SP"]
            image.MRAcquisitionType = "2D"
            image.RepetitionTime, image.EchoTime = "4100", "74"
            image.SliceThickness = "2"
            image.FrameOfReferenceUID = frame_of_reference
            image.ImagePositionPatient = ["-110", "-110", str(2.0 * number)]
            image.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
            image.PixelSpacing = ["1.72", "1.72"]
            self._nested(image, localizer)
            self._siemens(image, person, number)
            self._pixels(image, self._size // 2, scale=900)
            instances.append(image)
        return Study("MR diffusion", person, instances)

    def us(self, images: int, patient_id: str | None = None) -> Study:
        """Colour ultrasound images."""
        person, common, when = self._study(patient_id)
        series = self._uid()
        instances = []
        for number in range(1, images + 1):
            image = self._image(common, US, series, number, when)
            image.Modality, image.Manufacturer = "US", "Phantom Ultrasonics"
            image.StudyDescription = "UL abdomen"
            image.SeriesNumber = "1"
            image.ImageType = ["ORIGINAL", "PRIMARY"]
            rows, columns = self._size * 3 // 4, self._size
            colours = self._noise.integers(0, 255, (rows, columns, 3), dtype=np.uint8)
            image.SamplesPerPixel, image.PhotometricInterpretation = 3, "RGB"
            image.PlanarConfiguration = 0
            image.Rows, image.Columns = rows, columns
            image.BitsAllocated = image.BitsStored = 8
            image.HighBit, image.PixelRepresentation = 7, 0
            image.PixelData = colours.tobytes()
            instances.append(image)
        return Study("US abdomen", person, instances)

    def _uid(self) -> UID:
        self._made += 1
        return generate_uid(entropy_srcs=[f"sluse-phantom-{self._seed}-{self._made}"])

    def _study(self, patient_id: str | None) -> tuple[Person, Dataset, datetime]:
        person = invent(self._rng)
        when = datetime(2020, 1, 6, 8, 0, tzinfo=UTC) + timedelta(
            minutes=self._rng.randint(0, 500_000)
        )
        common = Dataset()
        common.SpecificCharacterSet = "ISO_IR 100"
        common.StudyInstanceUID = self._uid()
        common.StudyDate, common.StudyTime = f"{when:%Y%m%d}", f"{when:%H%M%S}"
        common.StudyID = person.study_id
        common.AccessionNumber = person.accession_number
        # A trusted sender has put a pseudonym in place of id and name.
        common.PatientName = patient_id or person.name
        common.PatientID = patient_id or person.patient_id
        common.PatientBirthDate, common.PatientSex = person.birth_date, person.sex
        common.PatientAge, common.PatientWeight = "045Y", "71"
        common.PatientAddress, common.PatientTelephoneNumbers = person.address, person.phone
        common.ReferringPhysicianName = person.referring_physician
        common.OperatorsName = person.operator
        common.InstitutionName, common.StationName = person.institution, person.station
        common.InstitutionAddress = "Sykehusveien 1"
        return person, common, when

    def _image(
        self, common: Dataset, sop_class: UID, series: UID, number: int, when: datetime
    ) -> Dataset:
        image = Dataset()
        image.update(common)
        image.SOPClassUID, image.SOPInstanceUID = sop_class, self._uid()
        image.SeriesInstanceUID, image.InstanceNumber = series, str(number)
        taken = when + timedelta(seconds=number)
        image.SeriesDate = image.AcquisitionDate = image.ContentDate = f"{when:%Y%m%d}"
        image.SeriesTime = f"{when:%H%M%S}"
        image.AcquisitionTime = image.ContentTime = f"{taken:%H%M%S}.{number:06}"
        image.AcquisitionDateTime = f"{taken:%Y%m%d%H%M%S}"
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = sop_class
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        return image

    def _pixels(self, image: Dataset, size: int, *, scale: int) -> None:
        y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
        body = (x**2 / 0.8 + y**2 / 0.5 < 1) * scale
        pixels = body + self._noise.normal(0, scale / 40, body.shape)
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows = image.Columns = size
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = 0
        image.WindowCenter, image.WindowWidth = str(scale // 2), str(scale)
        image.PixelData = np.clip(pixels, 0, 4095).astype("<u2").tobytes()

    def _nested(self, image: Dataset, localizer: UID) -> None:
        reference = Dataset()
        reference.ReferencedSOPClassUID = MR
        reference.ReferencedSOPInstanceUID = localizer
        purpose = Dataset()
        purpose.CodeValue, purpose.CodingSchemeDesignator = "121311", "DCM"
        purpose.CodeMeaning = "Localizer"
        reference.PurposeOfReferenceCodeSequence = Sequence([purpose])
        image.ReferencedImageSequence = Sequence([reference])
        request = Dataset()
        request.RequestedProcedureID = "RP" + str(image.AccessionNumber)
        request.ScheduledProcedureStepID = "SPS1"
        image.RequestAttributesSequence = Sequence([request])

    def _siemens(self, image: Dataset, person: Person, number: int) -> None:
        uid, date = str(image.SeriesInstanceUID), str(image.StudyDate)
        image_header = csa_header(
            {
                "NumberOfImagesInMosaic": ("US", ["32"]),
                "B_value": ("IS", ["1000"]),
                "DiffusionGradientDirection": ("FD", ["0.70710678", "0.70710678", "0.00000000"]),
                "PhaseEncodingDirectionPositive": ("IS", ["1"]),
                "ICE_Dims": ("LO", [f"X_1_1_1_1_1_1_1_1_1_{number}_1_{uid}"]),
                "SliceNormalVector": ("FD", ["0.00000000", "0.00000000", "1.00000000"]),
            }
        )
        series_header = csa_header(
            {
                "UsedPatientWeight": ("IS", ["71"]),
                "MrProtocolVersion": ("IS", ["41310008"]),
                "PatientName": ("LO", [str(image.PatientName)]),
                "SeriesFrom": ("DS", [date]),
                "Laterality4MF": ("LO", [str(image.PatientID)]),
            }
        )
        for tag, vr, value in (
            (0x00290010, "LO", "SIEMENS CSA HEADER"),
            (0x00291008, "CS", "IMAGE NUM 4"),
            (0x00291009, "LO", date),
            (0x00291010, "OB", image_header),
            (0x00291018, "CS", "MR"),
            (0x00291020, "OB", series_header),
            (0x00510010, "LO", "SIEMENS MR HEADER"),
            (0x0051100A, "LO", "TA 04:11"),
            (0x0051100F, "LO", "HEA;HEP"),
        ):
            image[tag] = DataElement(tag, vr, value)
        inner = Dataset()
        inner.PatientName, inner.PatientID = image.PatientName, image.PatientID
        inner.StudyInstanceUID = image.StudyInstanceUID
        inner[0x00E11001] = DataElement(0x00E11001, "LO", person.accession_number)
        inner[0x00E10010] = DataElement(0x00E10010, "LO", "ELSCINT1")
        outer = Dataset()
        outer[0x00211042] = DataElement(0x00211042, "SQ", Sequence([inner]))
        outer[0x00210010] = DataElement(0x00210010, "LO", "SIEMENS MR SDR 01")
        image[0x00210010] = DataElement(0x00210010, "LO", "SIEMENS MR SDR 01")
        image[0x002110FE] = DataElement(0x002110FE, "SQ", Sequence([outer]))
