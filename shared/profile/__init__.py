"""De-identification profiles: tables as data, their model, and the format of a project's own.

`tables` reads the 2019 design's table, the default; `ps315` the Basic Profile of PS3.15; `format`
what a project overrides. See docs/profiles.md.
"""

from shared.profile.actions import DUMMIES, Action
from shared.profile.format import ProfileError, load_profile
from shared.profile.model import Condition, Profile, Rule
from shared.profile.tables import legacy_profile, source_profile

__all__ = [
    "DUMMIES",
    "Action",
    "Condition",
    "Profile",
    "ProfileError",
    "Rule",
    "legacy_profile",
    "load_profile",
    "source_profile",
]
