"""What a vLLM server counts itself, read from its `/metrics` page (Prometheus text).

The counters are the server's: they hold what other clients of it do as well.
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
"""Our name -> the server's, newest first."""


class Counters(BaseModel):
    """Sums since the server's start, over its engines; `running` and `waiting` are of this moment.

    Attributes:
        requests: requests that ended, as clients count them: one of `n` choices is one.
        prompt_tokens: of every choice by itself: a request of `n` choices counts its prompt `n` times.
        prefix_queries: prompt tokens looked up in the prefix cache; `prefix_hits` those found there.
        preemptions: times that a request lost its place in the KV cache.
        kv_use: share of the KV cache that running requests hold at this moment, of the fullest engine.
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
        """Share of prompt tokens that came from the prefix cache; None where none was looked up."""
        return self.prefix_hits / self.prefix_queries if self.prefix_queries else None


def read_counters(page: str) -> Counters | None:
    """The counters of a `/metrics` page; None when it is not a vLLM server's."""
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
    """Tokens that the KV cache of a `/metrics` page holds, over the server's engines; None where it does not say."""
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
