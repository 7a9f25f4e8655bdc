"""`/dicom-web`: the routes of DICOMweb, all behind `may_see_originals`."""

from fastapi import APIRouter, Depends

from services.api.dicomweb import (
    rendering_endpoints,
    retrieval_endpoints,
    search_endpoints,
    storage_endpoints,
)
from services.api.dicomweb.rights import may_see_originals
from services.api.guards import DICOMWEB
from services.api.problems import responses

router = APIRouter(
    prefix=DICOMWEB,
    tags=["DICOMweb"],
    dependencies=[Depends(may_see_originals)],
    responses=responses(503),
)
for part in (storage_endpoints, search_endpoints, retrieval_endpoints, rendering_endpoints):
    router.include_router(part.router)
