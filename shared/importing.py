"""What an import may find in what was uploaded, and in which words people are told."""

import re
from enum import StrEnum

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
LONGEST_LABEL = 1000

CALLING = "IMPORT"
"""The calling AE title of what comes in through the web page: a browser names none."""


def label(name: str) -> str:
    """A file's name as it is stored and shown: it may be anything, and is never a path here."""
    return _UNPRINTABLE.sub("\ufffd", name)[-LONGEST_LABEL:]


class Kind(StrEnum):
    """What became of a thing that was found."""

    IMAGE = "image"
    """A DICOM object that can be imported."""
    DUPLICATE = "duplicate"
    """The same content as another one."""
    IGNORED = "ignored"
    """No DICOM: the viewer on the CD, a JPEG, a text."""
    LISTING = "listing"
    """A DICOMDIR: what it names is looked for, itself it is never imported."""
    NAMED = "named"
    """What a DICOMDIR names; missing where no image has its SOP Instance UID."""
    UNREADABLE = "unreadable"
    """DICOM that can't be imported."""
    REFUSED = "refused"
    """An archive, or something in one, that is not opened."""


class Why(StrEnum):
    """Why something is no image. The value is stored; `in_words` is shown."""

    NOT_DICOM = "not-dicom"
    EMPTY = "empty"
    DUPLICATE = "duplicate"
    DIRECTORY = "directory"
    MISSING = "missing"
    NO_FILE_HEADER = "no-file-header"
    TRUNCATED = "truncated"
    MISSING_UID = "missing-uid"
    ILLEGAL_UID = "illegal-uid"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too-large"
    ARCHIVE_UNREADABLE = "archive-unreadable"
    ARCHIVE_TOO_LARGE = "archive-too-large"
    ARCHIVE_NESTED = "archive-nested"
    ENCRYPTED = "encrypted"
    LINK = "link"
    UNSAFE_PATH = "unsafe-path"
    COMPRESSION = "compression"

    @property
    def in_words(self) -> str:
        """The sentence that people read."""
        return _WORDS[self]


_WORDS = {
    Why.NOT_DICOM: "This is not a DICOM file.",
    Why.EMPTY: "The file is empty.",
    Why.DUPLICATE: "The same image is here already, in another file.",
    Why.DIRECTORY: "This is the CD's table of contents (DICOMDIR); it is not imported itself.",
    Why.MISSING: "The CD's table of contents (DICOMDIR) names this image, and it is not here.",
    Why.NO_FILE_HEADER: "This looks like DICOM without the header that DICOM files have. Export it "
    "again as a DICOM file.",
    Why.TRUNCATED: "The image ends in the middle: part of it is missing.",
    Why.MISSING_UID: "The image lacks its study, series or SOP instance UID.",
    Why.ILLEGAL_UID: "The image's study, series or SOP instance UID is not a legal DICOM UID.",
    Why.UNREADABLE: "The image's header can't be read.",
    Why.TOO_LARGE: "The image is larger than Sluse takes.",
    Why.ARCHIVE_UNREADABLE: "The ZIP, or this file in it, is damaged.",
    Why.ARCHIVE_TOO_LARGE: "The ZIP holds more than such a file can, or than Sluse takes.",
    Why.ARCHIVE_NESTED: "This is a ZIP inside a ZIP. Unpack the outer one and import it again.",
    Why.ENCRYPTED: "This is locked with a password. Unpack the ZIP and import the files.",
    Why.LINK: "This is a link, not a file.",
    Why.UNSAFE_PATH: "The file's name in the ZIP points out of it.",
    Why.COMPRESSION: "The ZIP packs this file in a way that Sluse does not read. Pack it again as "
    "an ordinary ZIP.",
}
