"""Which events to publish for files in the inbox: the same for whoever finds them there."""

from collections.abc import Iterable

from shared.errors import Reject
from shared.events import BATCH, InstanceReceived
from shared.header import read_header
from shared.priority import Priority
from shared.spool import Spool

_SERIES_INSTANCE_UID = 0x0020000E


def series_of(spool: Spool, key: str) -> str:
    """The SeriesInstanceUID of a file, empty when it has none that can be read."""
    try:
        header = read_header(spool.path(key), stop_after=_SERIES_INSTANCE_UID)
    except (Reject, FileNotFoundError):
        return ""
    return header.text(_SERIES_INSTANCE_UID) or ""


def priority_of(spool: Spool, association_id: str) -> Priority:
    """Of what an association brings, as its inbox folder says."""
    sender = spool.read_association(association_id)
    return sender.priority if sender else Priority.NORMAL


def received_events(spool: Spool, keys: Iterable[str]) -> list[InstanceReceived]:
    """Events for inbox files: of one association and one series each, 64 files at most."""
    groups: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        group = spool.association_of(key), series_of(spool, key)
        groups.setdefault(group, []).append(key)
    urgent = {one: priority_of(spool, one) for one, _ in groups}
    return [
        InstanceReceived(keys=tuple(found[start : start + BATCH]), priority=urgent[association_id])
        for (association_id, _), found in groups.items()
        for start in range(0, len(found), BATCH)
    ]
