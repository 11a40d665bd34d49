"""Seeded faults of model servers.

Rates are per request. Every fault has been observed with a real server or proxy; docs/models.md describes the client's
response.
"""

import random
from collections.abc import Mapping
from typing import Literal, get_args

Fault = Literal[
    "rate_limit",
    "server_error",
    "reset",
    "hang",
    "garbage_json",
    "html",
    "truncated_body",
    "event_stream",
    "empty_choices",
    "null_choices",
    "in_band_error",
    "abort",
    "refusal",
    "overflow_vllm",
    "overflow_openai",
    "slow_drip",
    "null_content",
    "null_finish",
    "length",
    "unauthorized",
    "not_found",
]
FAULTS: tuple[str, ...] = get_args(Fault)
PERMANENT: frozenset[str] = frozenset({"refusal", "overflow_vllm", "overflow_openai", "unauthorized", "not_found"})
"""Faults for which a retry is pointless."""

MIXED: Mapping[Fault, float] = {
    "rate_limit": 0.10,
    "server_error": 0.05,
    "reset": 0.03,
    "hang": 0.03,
    "garbage_json": 0.02,
    "html": 0.01,
    "truncated_body": 0.02,
    "event_stream": 0.02,
    "in_band_error": 0.01,
    "empty_choices": 0.01,
    "null_choices": 0.01,
    "abort": 0.01,
    "refusal": 0.01,
    "overflow_vllm": 0.005,
    "overflow_openai": 0.005,
}
"""A bad day: about one request in three fails."""

VLLM_OVERFLOW = (
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4500 in the messages, "
    "500 in the completion). Please reduce the length of the messages or completion."
)
OPENAI_OVERFLOW = (
    "Input tokens exceed the configured limit of 4096 tokens. Your messages resulted in 5000 tokens. "
    "Please reduce the length of the messages."
)


class FaultMix:
    """Draws a fault or none for each request; the n-th draw depends only on the seed.

    Args:
        rates: probability of each fault; they sum to at most 1.
        seed: seed of the draws.

    Raises:
        ValueError: a fault is unknown, or the rates sum to more than 1.
    """

    def __init__(self, rates: Mapping[Fault, float] | None = None, seed: int = 0) -> None:
        self.rates = dict(rates or {})
        unknown = sorted(set(self.rates) - set(FAULTS))
        if unknown:
            raise ValueError(f"unknown faults {', '.join(unknown)}; known: {', '.join(FAULTS)}")
        if sum(self.rates.values()) > 1 + 1e-9:
            raise ValueError("fault rates sum to more than 1")
        self._random = random.Random(seed)
        self._forced: list[Fault | None] = []

    def force(self, *faults: Fault | None) -> None:
        """Assign these faults to the next requests, in order, before drawing resumes; None is a healthy reply."""
        self._forced.extend(faults)

    def draw(self) -> Fault | None:
        """Return the fault of the next request; None means a healthy reply."""
        if self._forced:
            return self._forced.pop(0)
        point = self._random.random()
        for fault, rate in self.rates.items():
            point -= rate
            if point < 0:
                return fault
        return None
