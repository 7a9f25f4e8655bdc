"""Reads and writes destinations."""

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.api.destinations.schemas import DestinationWrite
from services.api.problems import FieldError, ProblemError, not_found, taken
from shared.ledger.auditing import Action, audit
from shared.ledger.recalling import BY_SLUSE
from shared.ledger.states import Protocol, Verification
from shared.ledger.tables import Destination


async def every(session: AsyncSession) -> list[Destination]:
    """All destinations, by name."""
    return list(await session.exec(select(Destination).order_by(col(Destination.name))))


async def get(session: AsyncSession, destination_id: int, *, lock: bool = False) -> Destination:
    """One destination; a 404 problem when there is none."""
    found = await session.get(Destination, destination_id, with_for_update=lock)
    if found is None:
        raise not_found("destination")
    return found


async def write(
    session: AsyncSession, body: DestinationWrite, destination: Destination | None = None
) -> Destination:
    """Enter or change a destination; a problem when the name is taken or something missing."""
    if missing := _missing(body):
        raise ProblemError(422, "The request breaks a rule.", missing)
    row = destination or Destination.model_validate(body.model_dump())
    row.sqlmodel_update(body.model_dump())
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise taken("name", "Another destination has this name.") from None
    await audit(
        await session.connection(), Action.DESTINATION_ENTERED, destination=row.id,
        after=body.model_dump(include={"protocol", "ae_title", "host", "port", "url", "deletion"}),
    )  # fmt: skip
    return row


def _missing(body: DestinationWrite) -> list[FieldError]:
    """What a destination can't do without."""
    missing = []

    def wants(field: str, message: str) -> None:
        missing.append(FieldError(field=field, message=message))

    if body.protocol is Protocol.DIMSE:
        for field in ("ae_title", "host", "port"):
            if getattr(body, field) is None:
                wants(field, "Images that go over associations need it.")
    else:
        if not body.url:
            wants("url", "Say where the DICOMweb service is.")
        if body.verification is Verification.COMMITMENT:
            wants("verification", "There is no storage commitment over DICOMweb; take query.")
    if body.deletion in BY_SLUSE and not body.deletion_url:
        wants("deletion_url", "Say where Sluse is to delete.")
    return missing
