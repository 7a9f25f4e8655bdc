"""The addresses of the pages of profiles, and of their buttons."""

from services.api.web.profile.edit import edit_profile
from services.api.web.profile.preview import (
    choose_preview,
    prepare_preview,
    show_profile_preview,
)
from services.api.web.profile.show import show_profile

PAGES = (
    ("/projects/{code}/profile", show_profile),
    ("/projects/{code}/profile/preview", choose_preview),
    ("/projects/{code}/profile/preview/{preview_id}", show_profile_preview),
)
BUTTONS = (
    ("/projects/{code}/profile", edit_profile),
    ("/projects/{code}/profile/preview", prepare_preview),
)
