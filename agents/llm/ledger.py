"""The ledger: records spending per scope and enforces limits.

Ledgers nest (run > task > rollout): a charge applies to a ledger and all its ancestors, and a check starts with the
outermost. They are passed in, never global. A sink receives every charge as it is made, which is how a run store
persists them; a resumed run starts from the stored totals.
"""

import time
from collections.abc import Callable

from pydantic import Field

from agents.errors import LimitExceeded
from core.record import Config, Record


class Usage(Record):
    """Tokens of one or more requests, as the server counted them. `prompt_tokens` includes the cached ones.

    `sandbox_s` is no model's: seconds of sandboxes in which candidates' patches were tested.
    """

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0
    sandbox_s: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields})

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) - getattr(other, name) for name in Usage.model_fields})


class Limits(Config):
    """Ceilings of one ledger; None means no limit. A limit stops the next call, it does not cut one short.

    Attributes:
        calls: requests to models that were answered.
        tokens: prompt and completion tokens.
        cost_usd: USD, by `prices`.
        time_s: wall-clock seconds.
    """

    calls: int | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)
    cost_usd: float | None = Field(None, gt=0)
    time_s: float | None = Field(None, gt=0)


class Ledger:
    """Spending of a scope, with limits.

    Args:
        scope: name used in messages, such as `run` or `rollout heat-0/03`.
        limits: ceilings of this scope only; the limits of ancestors apply as well.
        parent: the enclosing scope.
        spent: spending of earlier processes of a resumed run; not charged to the parent again.
    """

    def __init__(
        self,
        scope: str,
        limits: Limits | None = None,
        *,
        parent: "Ledger | None" = None,
        spent: Usage | None = None,
    ) -> None:
        self.scope = scope
        self.limits = limits or Limits()
        self.parent = parent
        self.spent = spent or Usage()
        self._sink: Callable[[str, Usage], None] | None = None
        self._started = time.monotonic()

    def restore(self, spent: Usage, sink: Callable[[str, Usage], None]) -> None:
        """Restore the spending of earlier processes and install a sink for new charges.

        Args:
            spent: earlier spending; not passed to the sink.
            sink: called with the charging ledger's scope and the usage, once per charge in or below this ledger.
        """
        self.spent, self._sink = spent, sink

    def child(self, scope: str, limits: Limits | None = None, *, spent: Usage | None = None) -> "Ledger":
        """Create a nested ledger.

        Args:
            scope: name of the nested scope.
            limits: ceilings of the nested scope.
            spent: spending of earlier processes of a resumed run.
        """
        return Ledger(scope, limits, parent=self, spent=spent)

    def charge(self, usage: Usage) -> None:
        """Add to this ledger and its ancestors. No limit is enforced here, since the usage has already occurred."""
        ledger: Ledger | None = self
        while ledger is not None:
            ledger.spent = ledger.spent + usage
            if ledger._sink is not None:
                ledger._sink(self.scope, usage)
            ledger = ledger.parent

    @property
    def seconds(self) -> float:
        """Seconds since this process opened the scope."""
        return time.monotonic() - self._started

    def check(self) -> None:
        """Check whether another call may start, beginning with the outermost scope.

        Raises:
            LimitExceeded: a scope has reached one of its limits.
        """
        if self.parent is not None:
            self.parent.check()
        for kind, amount in self._used().items():
            limit = getattr(self.limits, kind)
            if limit is not None and amount >= limit:
                raise LimitExceeded(self.scope, kind.removesuffix("_usd").removesuffix("_s"), limit, amount)

    def left(self) -> dict[str, float]:
        """The share of each of this scope's own limits that is left, from 0 to 1, by kind: `calls`, `tokens` ..."""
        limits = {kind: getattr(self.limits, kind) for kind in self._used()}
        return {
            kind.removesuffix("_usd").removesuffix("_s"): max(0.0, 1 - amount / limits[kind])
            for kind, amount in self._used().items()
            if limits[kind] is not None
        }

    def _used(self) -> dict[str, float]:
        return {
            "calls": self.spent.calls,
            "tokens": self.spent.tokens,
            "cost_usd": self.spent.cost_usd,
            "time_s": self.seconds,
        }
