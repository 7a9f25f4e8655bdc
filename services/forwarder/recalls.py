"""Deletes recalled releases at their destinations, where those let it.

Everything here may be done twice: what is gone already counts as deleted.
"""

import asyncio
from collections import defaultdict
from typing import Any
from urllib.parse import quote

import httpx
from sqlalchemy import select

from shared import telemetry
from shared.bus import Bus
from shared.credentials import CredentialsError
from shared.dicomweb import JSON, async_client
from shared.dimse.tls import TlsError
from shared.errors import StepError
from shared.events import Event, InstanceAssigned, TransferRequested
from shared.ledger import Ledger
from shared.ledger.deleting import done, due, is_shared, leave_to_a_person, postpone
from shared.ledger.recalling import BY_SLUSE, NO_DELETIONS
from shared.ledger.starting import Assigned
from shared.ledger.states import Deletion
from shared.ledger.tables import Destination, Recall, core
from shared.ledger.transfers import priorities
from shared.settings import Settings

log = telemetry.logger("recalls")

_AT_MOST = 20
_EVERY = 1.0  # seconds between looks
_DELETED = frozenset({200, 202, 204, 404, 410})
_destination = core(Destination)


class NotDeletedError(Exception):
    """A destination did not delete a study; the text says why, without patient data."""


_IN_WORDS = (NotDeletedError, CredentialsError, TlsError)


class Recalls:
    """One look after the other, until cancelled."""

    def __init__(self, settings: Settings, bus: Bus, ledger: Ledger) -> None:
        self._settings, self._bus, self._ledger = settings, bus, ledger

    async def run(self) -> None:
        """Delete what is due, for ever."""
        while True:
            try:
                await self.round()
            except StepError as error:
                log.warning("recalling later", reason=error.reason, exc_info=error)
            except Exception as error:  # a round that fails must not be the last one
                log.error("recalling failed", exc_info=error)
            await asyncio.sleep(_EVERY)

    async def round(self) -> None:
        """Try every recall that is due, the destinations side by side.

        Raises
        ------
        Retry
            Database or broker are away.
        """
        async with self._ledger.transaction() as connection:
            found = await due(connection, _AT_MOST)
            if not found:
                return
            places = await connection.execute(
                select(_destination).where(
                    _destination.c.id.in_({one.destination_id for one in found})
                )
            )
            by_id = {row["id"]: Destination.model_validate(dict(row)) for row in places.mappings()}
        by_place: dict[int, list[Recall]] = defaultdict(list)
        for one in found:
            by_place[one.destination_id or 0].append(one)
        ended = await asyncio.gather(
            *(self._try_all(recalls, by_id[place]) for place, recalls in by_place.items()),
            return_exceptions=True,
        )
        for error in filter(None, ended):
            raise error

    async def _try_all(self, recalls: list[Recall], destination: Destination) -> None:
        for one in recalls:
            await self._try(one, destination)

    async def _try(self, recall: Recall, destination: Destination) -> None:
        assert recall.id is not None
        if not await self._may_be_deleted(recall.id, destination):
            return
        try:
            await self._delete(destination, recall.released_study_uid)
        # ValueError: an address that is none, or an answer that is no JSON.
        except (*_IN_WORDS, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            detail = str(error) if isinstance(error, _IN_WORDS) else type(error).__name__
            delays = self._settings.retry_delays
            delay = delays[min(recall.attempts - 1, len(delays) - 1)]
            async with self._ledger.transaction() as connection:
                await postpone(connection, recall.id, delay, detail)
            log.warning("not deleted", recall=recall.id, destination=destination.id, detail=detail)
            return
        async with self._ledger.transaction() as connection:
            follows = await done(
                connection, recall.id, patience=self._settings.patience, attempt=recall.attempts
            )
        log.info("deleted", recall=recall.id, destination=destination.id)
        if follows:
            await self._go_on(*follows)

    async def _may_be_deleted(self, recall_id: int, destination: Destination) -> bool:
        """Whether Sluse may delete it; a person is asked otherwise."""
        async with self._ledger.transaction() as connection:
            if destination.deletion not in BY_SLUSE:
                why = NO_DELETIONS
            elif await is_shared(connection, recall_id):
                why = "another project has a study of this UID there"
            else:
                return True
            await leave_to_a_person(connection, recall_id, why)
        log.warning("left to a person", recall=recall_id, destination=destination.id, detail=why)
        return False

    async def _go_on(self, waiting: list[int], assigned: Assigned) -> None:
        """Start what waited for a deletion."""
        async with self._ledger.reading() as connection:
            urgent = await priorities(connection, waiting)
        events: list[Event] = [
            TransferRequested(transfer_id=one, priority=urgent[one]) for one in waiting
        ]
        events += [batch.event(InstanceAssigned) for batch in assigned]
        if events:
            await self._bus.publish(events, producer="forwarder", correlation_id="recall")

    async def _delete(self, destination: Destination, study_uid: str) -> None:
        where = self._settings, destination.deletion_url, destination.credentials
        async with async_client(*where) as client:
            if destination.deletion == Deletion.DICOMWEB:
                await _delete_resource(client, study_uid)
                return
            query = {"Level": "Study", "Query": {"StudyInstanceUID": study_uid}}
            answer = await client.post("/tools/find", json=query)
            for orthanc_id in _found(answer):
                _require(await client.delete(f"/studies/{quote(str(orthanc_id))}"))


async def _delete_resource(client: httpx.AsyncClient, study_uid: str) -> None:
    """DELETE of the study as most archives have it; some do it later, so it is looked for."""
    _require(await client.delete(f"/studies/{quote(study_uid)}"))
    # Search transaction (PS3.18 10.6): 204 or an empty list when nothing matches.
    answer = await client.get(
        "/studies", params={"StudyInstanceUID": study_uid}, headers={"Accept": JSON}
    )
    # Not 404: that is the answer of a server that knows nothing of studies at all.
    if answer.status_code != 204 and _found(answer):
        raise NotDeletedError("the study is still there")


def _found(answer: httpx.Response) -> list[Any]:
    found = answer.json() if answer.status_code == 200 else None
    if not isinstance(found, list):
        raise NotDeletedError(f"the search was answered with {answer.status_code}")
    return found


def _require(answer: httpx.Response) -> None:
    if answer.status_code not in _DELETED:
        raise NotDeletedError(f"the deletion was answered with {answer.status_code}")
