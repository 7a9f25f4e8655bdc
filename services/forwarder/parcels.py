"""What is sent, and where to."""

from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from shared.dimse.requestor import Proposal
from shared.ledger.states import Protocol

UNCOMPRESSED = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""What images are offered in at last, where their own transfer syntax is refused."""


@dataclass(frozen=True)
class Peer:
    """Where a destination is, and how it wants to be treated."""

    destination_id: int
    ae_title: str = ""
    host: str = ""
    port: int = 0
    calling_aet: str | None = None
    """None for Sluse's own."""
    tls: bool = False
    protocol: str = Protocol.DIMSE
    url: str = ""
    """Of its DICOMweb service."""
    credentials: str = ""
    """Name of the folder with its secrets; empty for none of its own."""
    transfer_syntax: str = ""
    """What it is offered first where it refuses what an image has."""
    associations: int = 1
    """Open at once, at most."""
    images_per_second: int = 0
    """0 for any number."""
    hours: str = ""
    """When it takes images; empty for always."""


@dataclass(frozen=True)
class Parcel:
    """One file to be sent."""

    delivery_id: int
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    def proposals(self, preferred: str = "") -> tuple[Proposal, ...]:
        """The presentation contexts in which it may go: the first is its own, the others need a
        copy.

        Parameters
        ----------
        preferred
            The transfer syntax that comes next; empty for Explicit VR Little Endian.
        """
        own = self.transfer_syntax_uid
        plain = tuple(sorted(UNCOMPRESSED, key=lambda uid: uid != preferred))
        steps = [(own,), tuple(one for one in plain if one != own)]
        if preferred not in ("", own, *UNCOMPRESSED):
            steps.insert(1, (preferred,))
        return tuple(Proposal(self.sop_class_uid, syntaxes) for syntaxes in steps)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        names = (UID(uid).name[:80] for uid in (self.sop_class_uid, self.transfer_syntax_uid))
        return " in ".join(names)
