"""What the engine needs to know besides the file."""

from dataclasses import dataclass, field

from shared.profile import Profile, legacy_profile, source_profile
from shared.schemes import Identifiers, Scheme, identifiers


@dataclass(frozen=True)
class Plan:
    """How the images of one transfer are de-identified."""

    project: str
    """The project's code."""
    key: bytes = field(repr=False)
    """The project's secret; keys all identifiers."""
    participant: str
    """The pseudonym that becomes PatientName and PatientID."""
    event: str = ""
    site: str = ""
    date_shift_days: int = 0
    scheme: Scheme = Scheme.KEYED
    profile: Profile = field(default_factory=source_profile)
    """The table in force; a legacy scheme hashes AccessionNumber as the earlier system did."""

    def __post_init__(self) -> None:
        if self.scheme is not Scheme.KEYED:
            object.__setattr__(self, "profile", legacy_profile(self.profile))

    def identifiers(self, study_uid: str) -> Identifiers:
        """The released identifiers of an object of the study `study_uid`, without padding."""
        return identifiers(self.scheme, self.key, self.project, study_uid)
