"""`/health`: how the system is, for those who run it and for what watches over it."""

from services.api.dependencies import RuntimeDep
from services.api.health import service
from services.api.health.schemas import Health
from services.api.routes import resource

router = resource("/health", "pipeline")


@router.get("")
async def read_health(runtime: RuntimeDep) -> Health:
    """Say how Sluse is, part by part. `/healthz` and `/readyz` are for what restarts processes."""
    return await service.read(runtime)
