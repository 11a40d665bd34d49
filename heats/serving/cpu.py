"""Flags for a CPU build of vLLM, which by default reserves nearly all of the machine's memory and crashes."""

import os
import re
from pathlib import Path

from heats.serving.model_files import cache_bytes_per_token, longest_context, weight_bytes

_GIB = 1 << 30
_RESERVE, _MOST_CACHE, _LEAST_CACHE = 1.5 * _GIB, 8 * _GIB, _GIB // 4
_MOST_CONTEXT = 16384
_CACHE_FLAGS = ("--kv-cache-memory-bytes", "--gpu-memory-utilization")


def is_cpu_build(program: str) -> bool:
    """Whether a `vllm` program belongs to a CPU build, judging by the packages installed alongside it."""
    libraries = Path(program).resolve().parent.parent / "lib"
    names = [path.name for path in libraries.glob("python*/site-packages/vllm*.dist-info")]
    return any("cpu" in name for name in names)


def cpu_flags(model: str, context: int | None, given: tuple[str, ...], servers: int = 1) -> list[str]:
    """Return arguments of `vllm serve` with which a model fits into free memory, estimated from its files.

    Args:
        model: name or directory of the model.
        context: requested context length in tokens; None takes what fits, up to 16,384.
        given: further arguments of the user, which are not overridden.
        servers: number of servers that share the memory.
    """
    flags: list[str] = []
    cache = cache_bytes(free_bytes() // servers, weight_bytes(model))
    sized = any(flag.startswith(_CACHE_FLAGS) for flag in given) or bool(os.environ.get("VLLM_CPU_KVCACHE_SPACE"))
    if not sized:
        flags += ["--kv-cache-memory-bytes", str(cache)]
    if context is None:
        a_token = cache_bytes_per_token(model)
        fits = cache // a_token if a_token and not sized else _MOST_CONTEXT
        context = min(longest_context(model), fits, _MOST_CONTEXT) or None
        flags += ["--max-model-len", str(context) if context else "auto"]
    if context:
        # vLLM 0.32 on a CPU crashes on a seeded request with chunked prefill, and all of our requests are seeded.
        flags += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(context, 2048))]
    return flags


def cpu_environment() -> dict[str, str]:
    """Return environment variables for a server on a CPU, except those that are set already.

    vLLM gives up, and ends, if one step takes longer than 300 s. On a busy CPU, the prompts of a few requests can.
    """
    return {
        name: value for name, value in {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600"}.items() if name not in os.environ
    }


def cache_bytes(free: int, weights: int) -> int:
    """Return the KV-cache size in bytes: half of the memory left by weights and program, within 0.25 to 8 GiB."""
    left = free - 1.2 * weights - _RESERVE
    return int(min(max(left / 2, _LEAST_CACHE), _MOST_CACHE))


def free_bytes() -> int:
    """Return the memory in bytes available to a new process, considering both the machine and the control group."""
    text = _read("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    free = [int(found[1]) << 10] if found else []
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, now = _read(limit).strip(), _read(used).strip()
        if most.isdigit() and now.isdigit():
            free.append(int(most) - int(now))
    return max(0, min(free, default=4 * _GIB))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
