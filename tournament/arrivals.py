"""Wait for candidates whose tasks belong to the caller."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

from tournament.base import Candidate
from tournament.errors import NoCandidates

Arrival = asyncio.Future[Candidate | None]


@asynccontextmanager
async def arrivals(candidates: Mapping[str, Awaitable[Candidate | None]]) -> AsyncIterator[dict[str, Arrival]]:
    """Provide the awaitables as futures, by candidate ID.

    The caller's futures and tasks are never cancelled. Bare coroutines are wrapped in tasks, which are cancelled on
    exit.
    """
    futures: dict[str, Arrival] = {name: asyncio.ensure_future(future) for name, future in candidates.items()}
    ours = [future for name, future in futures.items() if future is not candidates[name]]
    try:
        yield futures
    finally:
        await cancel_all(ours)


async def everybody(candidates: Mapping[str, Awaitable[Candidate | None]]) -> dict[str, Candidate]:
    """Wait for all rollouts and return the candidates they produced, in the mapping's order.

    Raises:
        NoCandidates: no rollout produced one.
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
    """Cancel the tasks that are still running and wait for them to stop."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
