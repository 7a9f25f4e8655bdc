"""The deliveries that a batch of messages is about, and what is announced for them."""

from collections.abc import Iterable, Sequence

from shared.bus import Message, Outcome
from shared.events import DeliveryEvent
from shared.ledger.starting import Place, in_batches


class Asked:
    """Remembers which message asked for which delivery.

    Parameters
    ----------
    kind
        The event that asks; messages of another kind are passed over.
    """

    def __init__(self, batch: Sequence[Message], kind: type[DeliveryEvent]) -> None:
        self._messages: dict[int, Message] = {}
        for message in batch:
            if isinstance(message.event, kind):
                self._messages |= dict.fromkeys(message.event.delivery_ids, message)

    @property
    def ids(self) -> list[int]:
        """The deliveries."""
        return list(self._messages)

    def attempt(self, delivery_id: int) -> int:
        """How often the delivery's step has been tried before."""
        return self._messages[delivery_id].envelope.attempt

    def announce(
        self, outcome: Outcome, kind: type[DeliveryEvent], places: Iterable[Place]
    ) -> None:
        """Publish events of `kind` for deliveries."""
        for batch in in_batches(places):
            # They were asked for together, hence are equally urgent.
            cause = self._messages[batch.delivery_ids[0]]
            assert isinstance(cause.event, DeliveryEvent)
            urgent = batch._replace(priority=cause.event.priority)
            outcome.publish(urgent.event(kind), cause)

    def retry(self, outcome: Outcome, delivery_id: int) -> None:
        """Have one delivery tried again, alone."""
        cause = self._messages[delivery_id]
        alone = cause.event.model_copy(update={"delivery_ids": (delivery_id,)})
        outcome.retry(alone, cause)
