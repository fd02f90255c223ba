"""Work that goes on beside what a scenario does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def repeat_within(*works: Callable[[], Awaitable[None]], every_s: float) -> AsyncIterator[None]:
    """Do all of this again and again within the block, at most once in `every_s`; what has begun comes to its end."""
    over = asyncio.Event()

    async def repeat() -> None:
        while not over.is_set():
            await asyncio.gather(*(work() for work in works), asyncio.sleep(every_s))

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        over.set()
        await task
