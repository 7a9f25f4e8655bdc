"""`/pipeline`: the figures of the whole."""

from services.api.dependencies import RuntimeDep
from services.api.pipeline import service
from services.api.pipeline.schemas import Pipeline
from services.api.routes import resource

router = resource("/pipeline", "pipeline")


@router.get("")
async def read_pipeline(runtime: RuntimeDep) -> Pipeline:
    """Read what arrived, what is assigned and where it is, and what waits in the queues."""
    return await service.read(runtime)
