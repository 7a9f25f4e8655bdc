"""How the services end."""

import asyncio

from services.running import _end_what_is_left


async def test_what_waits_again_when_it_is_cancelled_ends_all_the_same() -> None:
    never = asyncio.get_running_loop().create_future()

    async def stubborn() -> None:
        try:
            await never
        finally:
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await _end_what_is_left()
    assert not task.done()
    task.cancel()  # as `asyncio.run` does
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
