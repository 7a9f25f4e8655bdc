"""The addresses of the pages of projects, and of their buttons."""

from services.api.web.projects.coupling import (
    download_coupling_template,
    drop_coupling_entry,
    drop_coupling_list,
    enter_coupling_list,
    find_in_coupling_list,
    leave_coupling_search,
    show_coupling_list,
    take_listed_studies,
)
from services.api.web.projects.form import (
    enter_project,
    save_project,
    show_new_project,
    show_pattern_examples,
    show_project_form,
)
from services.api.web.projects.list import show_projects
from services.api.web.projects.members import drop_member, find_people, save_member, show_members
from services.api.web.projects.show import (
    begin_processing_again,
    show_processing_again,
    show_project,
)

PAGES = (
    ("/projects", show_projects), ("/projects/new", show_new_project),
    ("/projects/pattern", show_pattern_examples), ("/projects/{code}", show_project),
    ("/projects/{code}/edit", show_project_form), ("/projects/{code}/members", show_members),
    ("/projects/{code}/members/find", find_people),
    ("/projects/{code}/process-again", show_processing_again),
    ("/projects/{code}/coupling-list", show_coupling_list),
    ("/projects/{code}/coupling-list/find", leave_coupling_search),
    ("/projects/{code}/coupling-list/template.csv", download_coupling_template),
)  # fmt: skip
BUTTONS = (
    ("/projects/new", enter_project), ("/projects/{code}/edit", save_project),
    ("/projects/{code}/members", save_member),
    ("/projects/{code}/members/{username}/remove", drop_member),
    ("/projects/{code}/process-again", begin_processing_again),
    ("/projects/{code}/coupling-list", enter_coupling_list),
    ("/projects/{code}/coupling-list/find", find_in_coupling_list),
    ("/projects/{code}/coupling-list/apply", take_listed_studies),
    ("/projects/{code}/coupling-list/remove", drop_coupling_list),
    ("/projects/{code}/coupling-list/{entry_id}/remove", drop_coupling_entry),
)  # fmt: skip
