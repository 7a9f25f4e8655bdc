"""What each route asks of whoever uses it: the one table. A test compares it with the routes.

A route that is not in it fails the build, and would answer 500.
"""

from enum import StrEnum
from typing import NamedTuple

from shared.people import Right


class Where(StrEnum):
    """In what a right must be held."""

    PUBLIC = "public"
    """Nobody needs to sign in."""
    SIGNED_IN = "signed in"
    """Whoever is signed in; it concerns themselves, or shows nothing of projects."""
    SYSTEM = "system"
    """In the whole system."""
    SOMEWHERE = "somewhere"
    """In any project; the route shows, or takes, only what belongs to such."""
    SEEN_STUDY = "study"
    """In a project that has the study, or that the study may be taken into; the route asks."""
    PROJECT = "in the path's project"
    TRANSFER = "in the project of the path's transfer"
    RECALL = "in the project of the path's recall"
    RULE = "in the project of the path's rule"
    IMPORT = "in the project of the path's import"


class Need(NamedTuple):
    """What a route asks for."""

    where: Where
    right: Right | None = None
    knows_who: bool = True
    """Whether a public route wants to know who asks all the same."""


_PUBLIC, _SIGNED_IN = Need(Where.PUBLIC), Need(Where.SIGNED_IN)
_NOBODY = Need(Where.PUBLIC, knows_who=False)
_OPERATE = Need(Where.SYSTEM, Right.OPERATE)
_ADMINISTER = Need(Where.SYSTEM, Right.ADMINISTER)
_VIEW, _ASSIGN = Need(Where.SOMEWHERE, Right.VIEW), Need(Where.SOMEWHERE, Right.ASSIGN)
_IDENTIFY = Need(Where.SOMEWHERE, Right.IDENTIFY)
_IMPORT = Need(Where.IMPORT, Right.ASSIGN)
_MANAGE = Need(Where.SOMEWHERE, Right.MANAGE)
_STUDY = Need(Where.SEEN_STUDY, Right.ASSIGN)
_HOLD = Need(Where.SEEN_STUDY, Right.IDENTIFY)


def _project(right: Right) -> Need:
    return Need(Where.PROJECT, right)


def _transfer(right: Right) -> Need:
    return Need(Where.TRANSFER, right)


NEEDS: dict[str, Need] = {
    # Signs of life, documentation
    "alive": _NOBODY,
    "ready": _NOBODY,
    "read_metrics": _NOBODY,
    "custom_swagger_ui_html": _NOBODY,
    "swagger_ui_redirect": _NOBODY,
    # Projects
    "list_projects": _VIEW,
    "create_project": _ADMINISTER,
    "read_project": _project(Right.VIEW),
    "change_project": _project(Right.MANAGE),
    "estimate_processing_again": _project(Right.CORRECT),
    "process_project_again": _project(Right.CORRECT),
    "list_participants": _project(Right.VIEW),
    "read_progress": _project(Right.VIEW),
    "compare": _project(Right.CORRECT),
    "resend": _project(Right.CORRECT),
    "request_profile_preview": _project(Right.IDENTIFY),
    "read_profile_preview": _project(Right.IDENTIFY),
    # Coupling lists
    "upload_coupling_list": _project(Right.IDENTIFY),
    "read_coupling_list": _project(Right.IDENTIFY),
    "apply_coupling_list": _project(Right.IDENTIFY),
    "remove_coupling_list": _project(Right.IDENTIFY),
    "remove_entry": _project(Right.IDENTIFY),
    # Studies as received
    "list_studies": _ASSIGN,
    "search_studies": _ASSIGN,
    "count_by_day": _VIEW,
    "read_study": _STUDY,
    "list_series": _STUDY,
    "read_series": _STUDY,
    "read_preview": _STUDY,
    # The endpoints ask: who runs Sluse may hold any study, without seeing whose it is
    "read_hold": _HOLD,
    "set_hold": _HOLD,
    "lift_hold": _HOLD,
    "press_hold": _HOLD,
    "press_lift_hold": _HOLD,
    # Transfers and recalls
    "list_transfers": _VIEW,
    "request_transfer": _ASSIGN,
    "read_transfer": _transfer(Right.VIEW),
    "list_transfer_series": _transfer(Right.VIEW),
    "list_deliveries": _transfer(Right.VIEW),
    "retry_transfer": _transfer(Right.CORRECT),
    "accept_transfer": _transfer(Right.CORRECT),
    "cancel_transfer": _transfer(Right.CORRECT),
    "undo_transfer": _transfer(Right.ASSIGN),
    "recall_transfer": _transfer(Right.CORRECT),
    "correct_transfer": _transfer(Right.CORRECT),
    "list_recalls": _VIEW,
    "read_recall": Need(Where.RECALL, Right.VIEW),
    "list_recalled_instances": Need(Where.RECALL, Right.VIEW),
    "note_recall_done": Need(Where.RECALL, Right.CORRECT),
    "list_findings": _VIEW,
    "read_finding": _VIEW,
    "report_projects": _VIEW,
    # Imports: who brings a CD sees what is on it
    "list_imports": _ASSIGN,
    "begin_import": _ASSIGN,
    "read_import": _IMPORT,
    "discard_import": _IMPORT,
    "finish_upload": _IMPORT,
    "review_import": _IMPORT,
    "list_items": _IMPORT,
    "accept_import": _IMPORT,
    "name_files": _IMPORT,
    "list_files": _IMPORT,
    "find_offset": _IMPORT,
    "send_piece": _IMPORT,
    "leave_file_out": _IMPORT,
    # Routing rules
    "list_routing_rules": _VIEW,
    # A rule takes what arrives for anybody: not one project's people to decide.
    "create_routing_rule": _ADMINISTER,
    "read_routing_rule": Need(Where.RULE, Right.VIEW),
    "change_routing_rule": _ADMINISTER,
    "try_new_routing_rule": _IDENTIFY,
    "try_changed_routing_rule": Need(Where.RULE, Right.IDENTIFY),
    "try_routing_rule": Need(Where.RULE, Right.IDENTIFY),
    "apply_routing_rule": Need(Where.RULE, Right.IDENTIFY),
    # The system
    "read_pipeline": _SIGNED_IN,
    "read_health": _OPERATE,
    "list_quarantine": _OPERATE,
    "list_dead_letters": _OPERATE,
    "read_dead_letter": _OPERATE,
    "retry_dead_letter": _OPERATE,
    "discard_dead_letter": _OPERATE,
    "list_refusals": _OPERATE,
    "allow_refused": _ADMINISTER,
    "forget_refusal": _OPERATE,
    "list_peers": _OPERATE,
    "create_peer": _ADMINISTER,
    "read_peer": _OPERATE,
    "change_peer": _ADMINISTER,
    "remove_peer": _ADMINISTER,
    "list_destinations": _SIGNED_IN,
    "create_destination": _ADMINISTER,
    "read_destination": _SIGNED_IN,
    "change_destination": _ADMINISTER,
    "echo_destination": _OPERATE,
    # People
    "list_accounts": _ADMINISTER,
    "create_account": _ADMINISTER,
    "read_account": _ADMINISTER,
    "change_account": _ADMINISTER,
    "delete_account": _ADMINISTER,
    "list_account_tokens": _ADMINISTER,
    "revoke_account_token": _ADMINISTER,
    "read_own_account": _SIGNED_IN,
    "change_own_account": _SIGNED_IN,
    "change_own_password": _SIGNED_IN,
    "list_group_roles": _ADMINISTER,
    "create_group_role": _ADMINISTER,
    "delete_group_role": _ADMINISTER,
    "list_members": _project(Right.VIEW),
    "put_member": _project(Right.MANAGE),
    "remove_member": _project(Right.MANAGE),
    "list_tokens": _SIGNED_IN,
    "create_token": _SIGNED_IN,
    "revoke_token": _SIGNED_IN,
    # Webhooks: the endpoints ask whose it is
    "list_webhooks": _MANAGE,
    "create_webhook": _MANAGE,
    "read_webhook": _MANAGE,
    "change_webhook": _MANAGE,
    "remove_webhook": _MANAGE,
    "list_webhook_deliveries": _MANAGE,
    "test_webhook": _MANAGE,
    # DICOMweb: originals
    "store_instances": _ASSIGN,
    "store_instances_of_study": _ASSIGN,
    "store_instances_for_title": _ASSIGN,
    "store_instances_of_study_for_title": _ASSIGN,
    "search_for_studies": _IDENTIFY,
    "search_for_series": _IDENTIFY,
    "search_for_series_of_study": _IDENTIFY,
    "search_for_instances": _IDENTIFY,
    "search_for_instances_of_study": _IDENTIFY,
    "search_for_instances_of_series": _IDENTIFY,
    "retrieve_study": _IDENTIFY,
    "retrieve_series": _IDENTIFY,
    "retrieve_instance": _IDENTIFY,
    "retrieve_study_metadata": _IDENTIFY,
    "retrieve_series_metadata": _IDENTIFY,
    "retrieve_instance_metadata": _IDENTIFY,
    "retrieve_frames": _IDENTIFY,
    "retrieve_bulk_data": _IDENTIFY,
    "retrieve_rendered": _IDENTIFY,
    "retrieve_rendered_frames": _IDENTIFY,
    "retrieve_study_thumbnail": _IDENTIFY,
    "retrieve_series_thumbnail": _IDENTIFY,
    "retrieve_instance_thumbnail": _IDENTIFY,
    "retrieve_frame_thumbnail": _IDENTIFY,
    # Pages
    "show_sign_in": _PUBLIC,
    "sign_in": _NOBODY,
    "leave_to_sign_in": _NOBODY,
    "come_back_signed_in": _NOBODY,
    "sign_out": _PUBLIC,
    "choose_look": _PUBLIC,
    "live": _SIGNED_IN,
    "show_first_account": _ADMINISTER,
    "create_first_account": _ADMINISTER,
    "overview": _SIGNED_IN,
    "show_unassigned": _ASSIGN,
    "choose_place": _ASSIGN,
    "check_place": _ASSIGN,
    "assign_studies": _ASSIGN,
    "show_assigned": _ASSIGN,
    "suggest_participants": _ASSIGN,
    "undo_assignment": _transfer(Right.ASSIGN),
    "show_studies": _ASSIGN,
    "find_studies": _ASSIGN,
    "show_study": _STUDY,
    "show_transfers": _VIEW,
    "show_transfer": _transfer(Right.VIEW),
    "show_deliveries": _transfer(Right.VIEW),
    "press_retry": _transfer(Right.CORRECT),
    "press_accept": _transfer(Right.CORRECT),
    "press_cancel": _transfer(Right.CORRECT),
    "press_recall": _transfer(Right.CORRECT),
    "press_correct": _transfer(Right.CORRECT),
    "press_deleted": Need(Where.RECALL, Right.CORRECT),
    "show_imports": _ASSIGN,
    "enter_import": _ASSIGN,
    "show_import": _IMPORT,
    "show_items": _IMPORT,
    "press_finish": _IMPORT,
    "press_discard": _IMPORT,
    "press_accept_import": _IMPORT,
    "show_projects": _SIGNED_IN,
    "show_new_project": _ADMINISTER,
    "enter_project": _ADMINISTER,
    "show_pattern_examples": _MANAGE,
    "show_project": _project(Right.VIEW),
    "show_project_form": _project(Right.MANAGE),
    "save_project": _project(Right.MANAGE),
    "show_profile": _project(Right.VIEW),
    "edit_profile": _project(Right.MANAGE),
    "choose_preview": _project(Right.IDENTIFY),
    "prepare_preview": _project(Right.IDENTIFY),
    "show_profile_preview": _project(Right.IDENTIFY),
    "show_processing_again": _project(Right.CORRECT),
    "begin_processing_again": _project(Right.CORRECT),
    "show_members": _project(Right.VIEW),
    "find_people": _project(Right.MANAGE),
    "save_member": _project(Right.MANAGE),
    "drop_member": _project(Right.MANAGE),
    "show_coupling_list": _project(Right.IDENTIFY),
    "find_in_coupling_list": _project(Right.IDENTIFY),
    "leave_coupling_search": _project(Right.IDENTIFY),
    "enter_coupling_list": _project(Right.IDENTIFY),
    "take_listed_studies": _project(Right.IDENTIFY),
    "drop_coupling_list": _project(Right.IDENTIFY),
    "drop_coupling_entry": _project(Right.IDENTIFY),
    "download_coupling_template": _project(Right.IDENTIFY),
    # The pages ask: they are for who enters rules, and for who may see what these would take.
    "list_rules": _VIEW,
    "show_rule": Need(Where.RULE, Right.VIEW),
    "show_webhooks": _ADMINISTER,
    "enter_webhook": _ADMINISTER,
    "show_project_webhooks": _project(Right.MANAGE),
    "enter_project_webhook": _project(Right.MANAGE),
    # The pages ask whose it is, as the endpoints do
    "show_webhook": _MANAGE,
    "save_webhook": _MANAGE,
    "switch_webhook": _MANAGE,
    "try_webhook": _MANAGE,
    "drop_webhook": _MANAGE,
    "apply_rule": Need(Where.RULE, Right.IDENTIFY),
    "show_new_rule": _ADMINISTER,
    "enter_rule": _ADMINISTER,
    "show_rule_form": _ADMINISTER,
    "save_rule": _ADMINISTER,
    "switch_rule": _ADMINISTER,
    "show_own": _SIGNED_IN,
    "change_password": _SIGNED_IN,
    "make_token": _SIGNED_IN,
    "drop_token": _SIGNED_IN,
    "show_health": _OPERATE,
    "show_quarantine": _OPERATE,
    "show_dead_letters": _OPERATE,
    "press_retry_letter": _OPERATE,
    "press_discard_letter": _OPERATE,
    "show_people": _ADMINISTER,
    "show_person": _ADMINISTER,
    "enter_person": _ADMINISTER,
    "save_person": _ADMINISTER,
    "drop_person": _ADMINISTER,
    "drop_persons_token": _ADMINISTER,
    "show_groups": _ADMINISTER,
    "enter_group": _ADMINISTER,
    "drop_group": _ADMINISTER,
    "show_rule_sets": _ADMINISTER,
    "show_rule_set": _ADMINISTER,
    "download_rule_set": _ADMINISTER,
    "show_destinations": _OPERATE,
    "try_destination": _OPERATE,
    "show_new_destination": _ADMINISTER,
    "show_destination": _ADMINISTER,
    "enter_destination": _ADMINISTER,
    "save_destination": _ADMINISTER,
    "show_senders": _OPERATE,
    "allow_sender": _ADMINISTER,
    "show_new_sender": _ADMINISTER,
    "show_sender": _ADMINISTER,
    "enter_sender": _ADMINISTER,
    "save_sender": _ADMINISTER,
    "drop_sender": _ADMINISTER,
}
"""By the name of the route's function."""
