"""Chooses the transport by the URL's scheme."""

from urllib.parse import urlsplit

from shared.bus.base import Bus
from shared.settings import Settings


def open_bus(settings: Settings, name: str) -> Bus:
    """The bus of `bus_url`, to be entered as a context manager.

    Parameters
    ----------
    name
        Of this process, for the broker's list of connections.

    Raises
    ------
    ValueError
        The URL has another scheme than `memory`, `amqp` or `amqps`.
    """
    match urlsplit(settings.bus_url.get_secret_value()).scheme:
        case "memory":
            from shared.bus.memory import MemoryBus

            return MemoryBus(settings)
        case "amqp" | "amqps":
            from shared.bus.amqp import AmqpBus

            return AmqpBus(settings, name)
        case other:
            raise ValueError(f"bus_url must start with memory://, amqp:// or amqps://, not {other}")
