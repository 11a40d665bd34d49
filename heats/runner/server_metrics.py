"""The model servers' own counters over the time this process worked, as one event per server."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from agents.llm.base import Metered, meters_of
from agents.llm.counters import Counters
from heats.runner.services import Services

Tell = Callable[[str, Mapping[str, Any]], None]
"""Receives a server's location and the data of its event."""


@asynccontextmanager
async def metered(services: Services, tell: Tell | None = None) -> AsyncIterator[None]:
    """Read every server's counters before and after, and store the difference, however the work ends.

    Nothing is stored for a server that has no counters or does not answer.

    Args:
        services: shared parts of the run.
        tell: receives the data in place of the run's event log.
    """

    def store(_: str, data: Mapping[str, Any]) -> None:
        services.events.emit("server", **data)

    told = tell or store
    meters: dict[str, tuple[str, Metered]] = {}
    for model in services.models.values():
        for meter in meters_of(model):
            meters.setdefault(meter.place, (model.name, meter))
    before = {place: await meter.counters() for place, (_, meter) in meters.items()}
    started = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - started
        for place, (name, meter) in meters.items():
            start, end = before[place], await meter.counters() if before[place] else None
            if start is not None and end is not None:
                data = _between(start, end).model_dump(exclude={"running", "waiting", "kv_use"})
                known = {key: value for key, value in services.facts.get(name, {}).items() if key != "model"}
                told(place, {"model": name, "seconds": round(seconds, 3), **known, **data})


def is_local(place: str) -> bool:
    """Whether an address refers to a different server on each machine."""
    host = urlsplit(place).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost") or host.endswith(".localhost")


def _between(start: Counters, end: Counters) -> Counters:
    """The difference of two readings; the later reading if the server was restarted in between."""
    return end - start if end.prompt_tokens >= start.prompt_tokens else end
