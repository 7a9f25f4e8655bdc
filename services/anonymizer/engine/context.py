"""What is worked out once for all objects of one plan that identify themselves alike."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

from services.anonymizer.engine.actions import Actions
from services.anonymizer.engine.identity import Collected
from services.anonymizer.engine.plan import Plan
from services.anonymizer.engine.sweep import Sweep
from services.anonymizer.engine.tokens import Tokens
from services.anonymizer.engine.uids import keeps_uids, released
from shared.profile import Profile

_DATES_MODIFIED = 0x00280303
_ANY_TAG = 0  # a UID in the middle of a text stands for no attribute


class Context:
    """The decisions, and what else depends on the plan and the object's identifiers only.

    Parameters
    ----------
    study_uid, sop_class_uid, modality
        The original object's, without padding.
    found
        The original object's own identifiers.
    big_endian
        How its numbers are stored.
    """

    def __init__(
        self,
        plan: Plan,
        study_uid: str,
        sop_class_uid: str,
        modality: str,
        found: Collected,
        *,
        big_endian: bool = False,
    ) -> None:
        self.profile = plan.profile.for_object(modality, sop_class_uid)
        self.dates = _dates(self.profile, plan)
        if self.dates == "UNMODIFIED":
            plan = replace(plan, date_shift_days=0)
        self.plan = plan
        self.identifiers = plan.identifiers(study_uid)
        map_uid: Callable[[str], str] = partial(released, self.identifiers, _ANY_TAG, None)
        if keeps_uids(self.profile):
            # Texts go on naming what keeps its name.
            map_uid, found = str, replace(found, uids=frozenset())
        sweep = Sweep(found, plan.participant, map_uid)
        tokens = Tokens(sweep, map_uid, found.dates, plan.date_shift_days)
        self.actions = Actions(
            plan, self.profile, self.identifiers, sweep, tokens, big_endian=big_endian
        )


def _dates(profile: Profile, plan: Plan) -> str:
    """What is true of the copy's dates: MODIFIED, UNMODIFIED or REMOVED (PS3.3 C.12.1.1.1.1)."""
    rule = profile.get(_DATES_MODIFIED)
    says = rule.value if rule else "MODIFIED"
    return "UNMODIFIED" if says == "MODIFIED" and not plan.date_shift_days else says


context = lru_cache(maxsize=64)(Context)
"""The context of an object; a series' images share one."""
