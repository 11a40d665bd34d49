"""Charging the time of sandboxes that run tests for evidence."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from agents.llm.ledger import Ledger, Usage


@contextmanager
def paid(ledger: Ledger, scope: str) -> Iterator[None]:
    """Charge the time of the block to a ledger, whatever comes of it.

    Args:
        ledger: the task's.
        scope: the task's id, then the heat or the rollout that the evidence is for.
    """
    started = time.monotonic()
    try:
        yield
    finally:
        ledger.child(f"{scope}/evidence").charge(Usage(sandbox_s=round(time.monotonic() - started, 2)))
