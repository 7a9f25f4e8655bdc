"""The addresses of the pages of routing rules, and of their buttons."""

from services.api.web.rules.form import enter_rule, save_rule, show_new_rule, show_rule_form
from services.api.web.rules.show import apply_rule, list_rules, show_rule, switch_rule

PAGES = (
    ("/rules", list_rules), ("/rules/new", show_new_rule), ("/rules/{rule_id}", show_rule),
    ("/rules/{rule_id}/edit", show_rule_form),
)  # fmt: skip
BUTTONS = (
    ("/rules/new", enter_rule), ("/rules/{rule_id}/edit", save_rule),
    ("/rules/{rule_id}/apply", apply_rule), ("/rules/{rule_id}/switch", switch_rule),
)  # fmt: skip
