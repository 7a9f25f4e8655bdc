"""Where the data set of a message goes while it arrives."""

from collections.abc import Sequence
from typing import Protocol

from shared import telemetry
from shared.dimse.messages import (
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    Answer,
    Channel,
    Handler,
    Message,
    Service,
)

log = telemetry.logger("receiver")


class Sink(Protocol):
    """Takes a data set part by part."""

    def write(self, parts: Sequence[memoryview]) -> None:
        """Take the next parts. They are only valid during the call."""

    def finish(self) -> Answer | None:
        """The message is complete: what to answer, None where nothing is."""

    def cancel(self) -> None:
        """It never will be."""


class Dropped:
    """Read and dropped; what to answer is known from the command."""

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer

    def write(self, parts: Sequence[memoryview]) -> None:
        pass

    def finish(self) -> Answer | None:
        return self._answer

    def cancel(self) -> None:
        pass


class Kept:
    """Kept in memory for the handler of a service; `message` comes without its data set."""

    def __init__(
        self, service: Service, handler: Handler, message: Message, channel: Channel
    ) -> None:
        self._service, self._handler = service, handler
        self._message, self._channel = message, channel
        self._data_set = bytearray()
        self._too_long = False

    def write(self, parts: Sequence[memoryview]) -> None:
        if len(self._data_set) + sum(map(len, parts)) > self._service.longest:
            self._too_long = True
            self._data_set.clear()
        if not self._too_long:
            for part in parts:
                self._data_set += part

    def finish(self) -> Answer | None:
        if self._too_long:
            return Answer(RESOURCE_LIMITATION, "The data set is too long")
        message = self._message._replace(data_set=bytes(self._data_set))
        try:
            return self._handler(message, self._channel)
        except Exception as error:
            log.error("request failed", exc_info=error)
            return Answer(PROCESSING_FAILURE)

    def cancel(self) -> None:
        pass
