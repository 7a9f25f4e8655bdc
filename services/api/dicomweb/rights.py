"""Who may do what over DICOMweb: the one place that says so."""

from fastapi import Request


async def may_see_originals(request: Request) -> None:
    """Whoever reaches the API from this machine may see and send originals.

    Every route of DICOMweb depends on this. There are no accounts yet: the guards keep foreign
    hosts and sites out (`services.api.guards`), as they do of the REST API.
    """
