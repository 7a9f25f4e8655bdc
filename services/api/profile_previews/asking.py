"""Tells the anonymizer that somebody waits for a preview."""

from services.api.nudging import nudge
from shared.events import PreviewRequested
from shared.runtime import Runtime


async def ask(runtime: Runtime, preview_id: int) -> None:
    """Nudge it; a message that is lost is sent again while somebody waits."""
    await nudge(runtime, [PreviewRequested(preview_id=preview_id)])
