"""`/dicom-web`: the routes of DICOMweb."""

from fastapi import APIRouter

from services.api.dicomweb import (
    rendering_endpoints,
    retrieval_endpoints,
    search_endpoints,
    storage_endpoints,
)
from services.api.guards import DICOMWEB
from services.api.problems import responses

router = APIRouter(prefix=DICOMWEB, tags=["DICOMweb"], responses=responses(503))
for part in (storage_endpoints, search_endpoints, retrieval_endpoints, rendering_endpoints):
    router.include_router(part.router)
