"""Turns on one association: slices of normal shares first, and bulk ones all the time."""

import asyncio

import pytest

from services.forwarder.turns import Turns
from shared.priority import WEIGHT, Priority

NORMAL, BULK = Priority.NORMAL, Priority.BULK


async def _send(turns: Turns, priority: Priority, slices: int, went: list[Priority]) -> None:
    with turns.share(priority):
        for _ in range(slices):
            async with turns.turn(priority):
                went.append(priority)
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)


async def test_a_normal_share_overtakes_a_bulk_one_in_the_middle() -> None:
    turns, went = Turns(), list[Priority]()
    async with asyncio.TaskGroup() as group:
        group.create_task(_send(turns, BULK, 40, went))
        while len(went) < 5:
            await asyncio.sleep(0.001)
        group.create_task(_send(turns, NORMAL, WEIGHT, went))
    first = went.index(NORMAL)
    last = len(went) - went[::-1].index(NORMAL)
    assert 5 <= first <= 7
    # Eight for each bulk one; the bulk one under way when it came counts as the first.
    assert went[first:last].count(BULK) <= 1
    assert went.count(BULK) == 40


async def test_bulk_shares_never_starve() -> None:
    turns, went = Turns(), list[Priority]()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(_send(turns, NORMAL, 30, went))
        group.create_task(_send(turns, BULK, 5, went))
    last = len(went) - went[::-1].index(BULK)
    assert went[:last].count(NORMAL) <= 6 * WEIGHT
    assert (went.count(NORMAL), went.count(BULK)) == (90, 5)


async def test_a_slice_that_fails_gives_its_turn_back() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        async with turns.turn(NORMAL):
            raise ZeroDivisionError
    async with asyncio.timeout(1), turns.turn(BULK):
        pass
