"""`sluse rotate-master-key`: brings everything under a new master key.

Whenever it is stopped, even by `kill -9`, one of two things is true: the database is under the old
key or under the new one, as it changes in one transaction; and the files of both are there until
the new one has the old one's place. Running it again goes on from there.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from shared.disk import sync_folder
from shared.errors import StartError
from shared.identity import MasterKey, MasterKeyError
from shared.ledger import Ledger
from shared.ledger.auditing import Action, Actor, audit
from shared.ledger.presence import present
from shared.ledger.schema import require_current
from shared.ledger.sealing import fits, seal_anew
from shared.settings import Settings


@dataclass
class Rotated:
    """What was done."""

    new: MasterKey
    file: Path
    """Where the new key stands."""
    earlier: Path | None
    """Where the old one does; None where its file is not Sluse's to change."""
    rows: dict[str, int] = field(default_factory=dict)
    """How many secrets were brought under it, by table; empty where an earlier try had done it."""


async def rotate(settings: Settings, into: Path | None) -> Rotated:
    """Change the master key.

    Parameters
    ----------
    into
        The file for the new key where the old one comes from the environment, or from a file that
        somebody else puts there. None: the key's own file gets it.

    Raises
    ------
    StartError
        It can't be changed: says why. Nothing is lost, and nothing is half changed.
    """
    if into is None and settings.master_key is not None:
        raise StartError(
            "the master key comes from SLUSE_MASTER_KEY: name a file for the new one with `--into`,"
            " and put what it holds into SLUSE_MASTER_KEY afterwards"
        )
    target = into or settings.next_master_key_file
    ledger = Ledger(settings)
    try:
        await require_current(ledger)
        async with present(ledger, alone=True):
            return await _rotate(settings, ledger, target, swap=into is None)
    except OSError as error:
        raise StartError(
            f"the new master key can't be written to {target.parent}: {error.strerror}. Where "
            "somebody else puts the key's file there, name another one with `--into`"
        ) from None
    finally:
        await ledger.close()


async def _rotate(settings: Settings, ledger: Ledger, target: Path, *, swap: bool) -> Rotated:
    old, new = settings.load_master_key(), _new_key(target)
    if old.fingerprint == new.fingerprint:
        raise StartError(f"{target} holds the present master key: name a new file for another one")
    async with ledger.reading() as connection:
        under_old, under_new = await fits(connection, old), await fits(connection, new)
    if not under_old and not under_new:
        raise MasterKeyError(
            f"the database is under neither the present master key nor the one in {target}: put "
            "the right one back from where you keep it"
        )
    rows: dict[str, int] = {}
    if under_old:
        async with ledger.transaction() as connection:
            rows = await seal_anew(connection, old, new)
            await audit(
                connection, Action.MASTER_KEY_ROTATED, actor=Actor.COMMAND_LINE,
                before=old.fingerprint, after=new.fingerprint,
            )  # fmt: skip
    if not swap:
        return Rotated(new, target, None, rows)
    return Rotated(new, settings.master_key_file, _swap(settings, target, old), rows)


def _new_key(target: Path) -> MasterKey:
    """The new key: from its file, where an earlier try has made one."""
    return MasterKey.from_file_or_new(target)


def _swap(settings: Settings, target: Path, old: MasterKey) -> Path:
    """Give the new key its place; the old one stays beside it."""
    path = settings.master_key_file
    earlier = path.with_name(f"{path.name}.old-{old.fingerprint[:8]}")
    if not earlier.exists():
        os.link(path, earlier)
        sync_folder(path.parent)
    target.replace(path)
    sync_folder(path.parent)
    return earlier
