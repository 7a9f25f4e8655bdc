"""`/projects/…/comparison`: what the research PACS holds, and what was sent there."""

from services.api.comparisons import service
from services.api.comparisons.schemas import Comparison, Resend, Resent
from services.api.comparisons.sent import send_again
from services.api.dependencies import RuntimeDep
from services.api.nudging import nudge
from services.api.paging import After, Limit
from services.api.participants.service import project_id
from services.api.problems import responses
from services.api.projects.endpoints import Code
from services.api.routes import resource
from services.api.transfers.following import assigned_events
from shared.ledger.auditing import Action, audit

router = resource("/projects/{code}/comparison", "projects")


@router.get("", responses=responses(404, 422, 503))
async def compare(
    code: Code, runtime: RuntimeDep, limit: Limit = 100, after: After = None
) -> Comparison:
    """Ask the research PACS (C-FIND, QIDO-RS) what it holds of the project's next `limit` studies.

    Changes nothing, here or there. Repeat with `next` until that is null; a slow research PACS
    wants a smaller `limit`. What it holds besides is not looked for.
    """
    return await service.compare(runtime, code, limit, after)


@router.post("/resend", responses=responses(404, 409, 422))
async def resend(code: Code, body: Resend, runtime: RuntimeDep) -> Resent:
    """Send again what was delivered of these studies. What is there already is replaced by itself.

    Held and failed images stay as they are. Studies whose originals were removed are refused.
    """
    async with runtime.ledger.transaction() as connection:
        project = await project_id(connection, code)
        transfers, assigned = await send_again(
            connection, project, body.study_ids, patience=runtime.settings.patience
        )
        await audit(connection, Action.STUDIES_RESENT, project=project, transfers=transfers)
    await nudge(runtime, assigned_events(assigned))
    return Resent(transfers=transfers, instances=sum(len(batch.delivery_ids) for batch in assigned))
