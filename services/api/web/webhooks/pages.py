"""The addresses of the pages of webhooks, and of their buttons."""

from services.api.web.webhooks.lists import (
    enter_project_webhook,
    enter_webhook,
    show_project_webhooks,
    show_webhooks,
)
from services.api.web.webhooks.one import (
    drop_webhook,
    save_webhook,
    show_webhook,
    switch_webhook,
    try_webhook,
)

PAGES = (
    ("/administration/webhooks", show_webhooks),
    ("/projects/{code}/webhooks", show_project_webhooks), ("/webhooks/{webhook_id}", show_webhook),
)  # fmt: skip
BUTTONS = (
    ("/administration/webhooks", enter_webhook),
    ("/projects/{code}/webhooks", enter_project_webhook),
    ("/webhooks/{webhook_id}", save_webhook), ("/webhooks/{webhook_id}/switch", switch_webhook),
    ("/webhooks/{webhook_id}/test", try_webhook), ("/webhooks/{webhook_id}/remove", drop_webhook),
)  # fmt: skip
