"""Counters of a vLLM server, read from its `/metrics` page (Prometheus text format).

They are server-wide and include the work of other clients.
"""

import re
from collections import defaultdict

from pydantic import BaseModel, ConfigDict

_CACHE = re.compile(r"^vllm:cache_config_info\{([^}]*)\}", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_LINE = re.compile(r"^(vllm:[a-z_]+?)(?:_total)?(?:\{[^}]*\})? ([0-9.eE+-]+|NaN)$", re.MULTILINE)
_NAMES = {
    "requests": ("vllm:request_params_n_count",),
    "prompt_tokens": ("vllm:prompt_tokens",),
    "generation_tokens": ("vllm:generation_tokens",),
    "prefix_queries": ("vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries"),
    "prefix_hits": ("vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits"),
    "preemptions": ("vllm:num_preemptions",),
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
}
_KV_USE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
"""Metric names for KV-cache utilization, newest first."""


class Counters(BaseModel):
    """Totals since the server's start, over all engines; `running` and `waiting` are current values.

    Attributes:
        requests: finished requests as seen by clients: a request with `n` choices counts once.
        prompt_tokens: prompt tokens per choice: a request with `n` choices counts its prompt `n` times.
        prefix_queries: prompt tokens looked up in the prefix cache; `prefix_hits` counts those found.
        preemptions: number of times a request was evicted from the KV cache.
        kv_use: current fraction of the KV cache held by running requests, on the fullest engine.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    requests: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    preemptions: int = 0
    running: int = 0
    waiting: int = 0
    kv_use: float = 0.0

    def __sub__(self, other: "Counters") -> "Counters":
        return Counters(**{name: getattr(self, name) - getattr(other, name) for name in Counters.model_fields})

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(**{name: getattr(self, name) + getattr(other, name) for name in Counters.model_fields})

    @property
    def hit_rate(self) -> float | None:
        """Fraction of prompt tokens served from the prefix cache; None without lookups."""
        return self.prefix_hits / self.prefix_queries if self.prefix_queries else None


def read_counters(page: str) -> Counters | None:
    """Parse the counters of a `/metrics` page; None if the page is not from vLLM."""
    sums: dict[str, float] = defaultdict(float)
    kv_use = 0.0
    for name, value in _LINE.findall(page):
        number = 0.0 if value == "NaN" else float(value)
        sums[name] += number
        if name in _KV_USE:
            kv_use = max(kv_use, number)
    if not sums:
        return None
    counts = {ours: int(max(sums.get(name, 0.0) for name in theirs)) for ours, theirs in _NAMES.items()}
    return Counters(**counts, kv_use=kv_use)


def read_kv_tokens(page: str) -> int | None:
    """Return the KV-cache capacity on a `/metrics` page, in tokens over all engines; None if it is not reported."""
    total = 0
    for labels in map(dict, map(_LABEL.findall, _CACHE.findall(page))):
        size, blocks, block = (
            labels.get(name, "") for name in ("kv_cache_size_tokens", "num_gpu_blocks", "block_size")
        )
        if size.isdigit():
            total += int(size)
        elif blocks.isdigit() and block.isdigit():
            total += int(blocks) * int(block)
    return total or None
