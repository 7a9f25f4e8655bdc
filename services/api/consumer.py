"""What the api does with a batch of `dead.lettered`: keeps them in the ledger, for a person."""

from collections.abc import Sequence

from services.api.dead_letters.service import enter
from shared.bus import API_DEAD, Message, Outcome
from shared.errors import Reason
from shared.ledger import Ledger


class DeadConsumer:
    """Empties the dead-letter queue into the ledger: no state lives only in a message (law 1)."""

    queue = API_DEAD

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def handle(self, batch: Sequence[Message], outcome: Outcome) -> None:
        """Keep a batch of dead letters."""
        async with self._ledger.transaction() as connection:
            await enter(connection, batch)

    async def give_up(self, message: Message, reason: Reason) -> None:
        """Nothing is lost: it comes back as a dead letter about a dead letter."""
