"""What the engine needs to know besides the file."""

from dataclasses import dataclass, field

from shared.profile import Profile, source_profile


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

    @property
    def profile(self) -> Profile:
        """The table in force."""
        return source_profile()
