"""The webhooks resource, and what sends to webhooks."""
