"""Waiting for candidates, which belong to the caller."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

from tournament.base import Candidate
from tournament.errors import NoCandidates

Arrival = asyncio.Future[Candidate | None]


@asynccontextmanager
async def arrivals(candidates: Mapping[str, Awaitable[Candidate | None]]) -> AsyncIterator[dict[str, Arrival]]:
    """The awaitables as futures, by candidate id.

    Futures and tasks of the caller are left as they are, finished or not; bare coroutines become tasks here, and
    those are cancelled at the end.
    """
    futures: dict[str, Arrival] = {name: asyncio.ensure_future(future) for name, future in candidates.items()}
    ours = [future for name, future in futures.items() if future is not candidates[name]]
    try:
        yield futures
    finally:
        await cancel_all(ours)


async def everybody(candidates: Mapping[str, Awaitable[Candidate | None]]) -> dict[str, Candidate]:
    """Wait for all and return those that are there, in the mapping's order.

    Raises:
        NoCandidates: none is.
    """
    async with arrivals(candidates) as futures:
        if futures:
            await asyncio.wait(futures.values())
        found = {name: future.result() for name, future in futures.items()}
    present = {name: candidate for name, candidate in found.items() if candidate is not None}
    if not present:
        raise NoCandidates("no rollout produced a candidate")
    return present


async def cancel_all(tasks: list[asyncio.Future[Candidate | None]]) -> None:
    """Cancel what still runs and wait until it has stopped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
