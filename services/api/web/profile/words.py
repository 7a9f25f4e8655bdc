"""What the pages of profiles say of actions, options and such; catalogues must have it, too."""

from services.api.profiles.finding import Show
from services.api.profiles.rows import Origin
from services.api.profiles.saving import CHANGED_MEANWHILE
from shared.previewing import Effect
from shared.profile import Action
from shared.profile.contents import Content, Policy
from shared.profile.ps315 import Option

ACTIONS = {
    Action.KEEP: "kept, names and numbers taken out",
    Action.REMOVE: "removed",
    Action.EMPTY: "emptied",
    Action.HOLD: "the image is held for a person to look at",
    Action.HASH: "replaced by a code",
    Action.HASHUID: "replaced by a new identifier",
    Action.HASHUID_PROJECT: "replaced by the project's new identifier",
    Action.INCREMENTDATE: "moved by the project's days",
    Action.PROCESS: "looked into: each part by its own rule",
    Action.STUDYHASH: "replaced by a code for the study",
    Action.PARTICIPANT: "replaced by the participant's id",
    Action.PROJECT: "replaced by the project's code",
    Action.SITE_NAME: "replaced by the site",
    Action.SITE_ID: "replaced by the site's code",
    Action.BODY_PART: "kept as it is",
    Action.CODES: "says what was done",
    Action.LITERAL: "replaced by a fixed text",
    Action.DUMMY: "replaced by a placeholder",
    Action.REGEX: "parts of the text replaced",
}
"""What becomes of an element."""
ORIGINS = {
    Origin.SOURCE: "usual table",
    Origin.PS315: "DICOM PS3.15",
    Origin.PROJECT: "this project",
    Origin.WIDER: "this project, for the whole group",
}
"""Where a row comes from."""
SHOWN = {
    Show.ALL: "everything",
    Show.CHANGED: "changed by this project",
    Show.WEAKER: "lets more through than the table",
    Show.REMOVES: "removed or emptied",
    Show.KEEPS: "kept",
    Show.DATES: "dates and times",
    Show.UIDS: "identifiers (UIDs)",
    Show.PRIVATE: "private elements of vendors",
}
"""Which rows are shown."""
BASES = {
    Origin.SOURCE: "The usual table (2019): what it does not name is kept once names and numbers "
    "of the patient are taken out of it",
    Origin.PS315: "The strict one (DICOM PS3.15): vendors' private elements are removed",
}
OPTIONS = {
    Option.RETAIN_SAFE_PRIVATE: "keep private elements that the standard calls safe",
    Option.RETAIN_UIDS: "keep identifiers (UIDs)",
    Option.RETAIN_DEVICE: "keep what identifies the device",
    Option.RETAIN_INSTITUTION: "keep the hospital's name and address",
    Option.RETAIN_PATIENT: "keep sex, age, height, weight and allergies",
    Option.RETAIN_FULL_DATES: "keep dates and times as they are",
    Option.RETAIN_MODIFIED_DATES: "keep dates, moved by the project's number of days",
    Option.CLEAN_DESCRIPTORS: "keep descriptions, without names and numbers of the patient",
    Option.CLEAN_STRUCTURED: "keep reports, without names and numbers of the patient",
    Option.CLEAN_GRAPHICS: "keep annotations, without names and numbers of the patient",
}
"""The options of PS3.15."""
CONTENTS = {
    Content.CURVES: "Curves",
    Content.OVERLAYS: "Overlays (drawings over the image)",
    Content.STRUCTURED_REPORTS: "Structured reports",
    Content.DOCUMENTS: "Documents (PDF and such)",
    Content.VIDEO: "Videos",
    Content.RAW_DATA: "Raw data of vendors",
}
POLICIES = {
    Policy.KEEP: "keep",
    Policy.CLEAN: "clean",
    Policy.REMOVE: "remove",
    Policy.HOLD: "hold for a person to look at",
}
"""What is done with contents."""
EFFECTS = {
    Effect.KEPT: "stays as it is",
    Effect.CHANGED: "changed",
    Effect.EMPTIED: "emptied",
    Effect.REMOVED: "removed",
    Effect.ADDED: "added",
}
"""What was done with an element of an image."""
WHYS = {f"the table: {action}": words for action, words in ACTIONS.items()} | {
    "kept by the table": "names and numbers of the patient were in it",
    "not in the table": "names and numbers of the patient were in it",
    "private, and not known to be safe": "private, and not known to be safe",
    "nothing of its block is kept": "nothing of its block is kept",
}
"""Why, by what the engine's report says."""
NO_ELEMENT = "Write a tag like (0010,2160), or a name like EthnicGroup."


def from_profiles() -> set[str]:
    """All of them."""
    every = (ACTIONS, ORIGINS, SHOWN, BASES, OPTIONS, CONTENTS, POLICIES, EFFECTS, WHYS)
    return {text for words in every for text in words.values()} | {CHANGED_MEANWHILE}
