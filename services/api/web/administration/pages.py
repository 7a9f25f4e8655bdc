"""The addresses of the pages for those who run Sluse."""

from services.api.web.administration.dead_letters import (
    press_discard_letter,
    press_retry_letter,
    show_dead_letters,
)
from services.api.web.administration.destinations import (
    enter_destination,
    save_destination,
    show_destination,
    show_destinations,
    show_new_destination,
    try_destination,
)
from services.api.web.administration.groups import drop_group, enter_group, show_groups
from services.api.web.administration.own import change_password, drop_token, make_token, show_own
from services.api.web.administration.people import (
    drop_person,
    drop_persons_token,
    enter_person,
    save_person,
    show_people,
    show_person,
)
from services.api.web.administration.rule_sets import (
    download_rule_set,
    show_rule_set,
    show_rule_sets,
)
from services.api.web.administration.senders import (
    allow_sender,
    drop_sender,
    enter_sender,
    save_sender,
    show_new_sender,
    show_sender,
    show_senders,
)
from services.api.web.administration.system import show_health, show_quarantine

PAGES = (
    ("/account", show_own),
    ("/administration", show_health), ("/administration/people", show_people),
    ("/administration/people/{account_id}", show_person),
    ("/administration/groups", show_groups),
    ("/administration/destinations", show_destinations),
    ("/administration/destinations/new", show_new_destination),
    ("/administration/destinations/{destination_id}", show_destination),
    ("/administration/senders", show_senders), ("/administration/senders/new", show_new_sender),
    ("/administration/senders/{peer_id}", show_sender),
    ("/administration/rule-sets", show_rule_sets),
    ("/administration/rule-sets/{name}", show_rule_set),
    ("/administration/rule-sets/{name}/rows.csv", download_rule_set),
    ("/administration/quarantine", show_quarantine),
    ("/administration/dead-letters", show_dead_letters),
)  # fmt: skip
BUTTONS = (
    ("/account/password", change_password), ("/account/tokens", make_token),
    ("/account/tokens/{token_id}/revoke", drop_token),
    ("/administration/people", enter_person),
    ("/administration/people/{account_id}", save_person),
    ("/administration/people/{account_id}/remove", drop_person),
    ("/administration/people/{account_id}/tokens/{token_id}/revoke", drop_persons_token),
    ("/administration/groups", enter_group),
    ("/administration/groups/{group_role_id}/remove", drop_group),
    ("/administration/destinations", enter_destination),
    ("/administration/destinations/{destination_id}", save_destination),
    ("/administration/destinations/{destination_id}/echo", try_destination),
    ("/administration/senders", enter_sender),
    ("/administration/senders/{peer_id}", save_sender),
    ("/administration/senders/{peer_id}/remove", drop_sender),
    ("/administration/senders/{refusal_id}/allow", allow_sender),
    ("/administration/dead-letters/{dead_letter_id}/retry", press_retry_letter),
    ("/administration/dead-letters/{dead_letter_id}/discard", press_discard_letter),
)  # fmt: skip
