"""What lets more of the original through than the base does: people are asked if they mean it."""

from shared.profile import Action

_EXPOSURE = {
    # Something that stands for a value, or a part of it, stays.
    Action.HASH: 1,
    Action.HASHUID: 1,
    Action.HASHUID_PROJECT: 1,
    Action.INCREMENTDATE: 1,
    Action.PROCESS: 1,
    # The value stays, but for what is found in it.
    Action.REGEX: 2,
    Action.KEEP: 3,
    Action.BODY_PART: 3,
}
"""How much of the original an action leaves; nothing where it is not named."""


def is_weaker(action: Action, base: Action) -> bool:
    """Whether `action` leaves more of the original than `base` would."""
    return _EXPOSURE.get(action, 0) > _EXPOSURE.get(base, 0)
