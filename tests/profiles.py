"""Profiles, as input for tests."""

import json
from typing import Any

from shared.profile import Action, Profile, load_profile

MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"


def text(*entries: dict[str, Any], **more: Any) -> str:
    """A project's profile with these rules, as JSON."""
    return json.dumps({"format": 1, "name": "own", "base": "source-2019", "rules": entries} | more)


def own(*entries: dict[str, Any], **more: Any) -> Profile:
    """A project's profile with these rules."""
    return load_profile(text(*entries, **more))


def action(profile: Profile, tag: int) -> Action | None:
    """What a profile says of an element."""
    rule = profile.get(tag)
    return rule.action if rule else None
