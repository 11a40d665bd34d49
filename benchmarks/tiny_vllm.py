"""A real vLLM on the CPU with a tiny model, started by `heats serve`; for tests and benchmarks.

`scripts/tool-env vllm` installs it. The model has random weights and says nothing sensible: its output is valid where
decoding is constrained, and `CLOSES` makes it end strings and lists. `scripts/tool-env smol` makes a small real model:
its text, tokenizer and chat template are real, but it repairs nothing.
"""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / ".cache" / "tools" / "vllm"
RECIPE = ROOT / "tests" / "tools" / "vllm_model.py"
MODEL = ROOT / ".cache" / "tools" / "vllm-model"
SMOL = ROOT / ".cache" / "tools" / "smol" / "model"
LOGS = ROOT / ".cache" / "tools"
NAME, CONTEXT = "tiny", 8192
CLOSES: Mapping[str, Mapping[str, int]] = {"logit_bias": {"2": 9, "4": 6, "63": 6}}
"""Request fields that make an end, a quotation mark and a closing bracket likely. Control tokens come first, then
single bytes from `!` on, so their numbers are fixed."""
_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "KMP_BLOCKTIME": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
# The smallest blocks that vLLM supports on a CPU have 32 tokens, its default 128; on GPUs it is 16.
_EXTRA = ["--enforce-eager", "--dtype", "bfloat16", "--block-size", "32", "--max-num-seqs", "64"]
# vLLM 0.32 on a CPU crashes on a request with a seed whose prompt is computed in chunks.
_EXTRA += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "16384"]
_EXTRA += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
# Real text makes long prompts. A CPU without bfloat16 computes them faster in float32, and an engine in one process
# does not spin on the other core while it waits.
_REAL = ["--dtype", "float32", "--distributed-executor-backend", "uni"]
_REAL_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "4", "OMP_NUM_THREADS": "2"}

POOLING = ("--runner", "pooling", "--enforce-eager", "--dtype", "bfloat16", "--max-num-seqs", "16")
"""Arguments of `vllm serve` for a classifier."""


def never_submits(base_url: str) -> dict[str, object]:
    """Request fields that make every turn call bash: no tool name can begin with an s."""
    begins = ["submit"[:end] for end in range(1, 7)]
    tokens = [_tokens(base_url, begin) for begin in begins]
    never = {str(one[0]): -100 for one in tokens if len(one) == 1}
    return {"tool_choice": "required", "logit_bias": {**CLOSES["logit_bias"], **never}}


def _tokens(base_url: str, text: str) -> list[int]:
    body = json.dumps({"model": NAME, "prompt": text}).encode()
    request = urllib.request.Request(base_url.removesuffix("/v1") + "/tokenize", data=body)
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        tokens: list[int] = json.load(answer)["tokens"]
    return tokens


def missing() -> str:
    """Why this server is unavailable here; empty if it is available."""
    return "" if (TOOL / ".heats-tool").exists() else "no vLLM here: run scripts/tool-env vllm"


def tiny_model() -> Path:
    """The model's directory; built if it is missing, or was built with another recipe or vLLM."""
    stamp = f"{(TOOL / '.heats-tool').read_text()}{RECIPE.read_text()}"
    if not (MODEL / "recipe").exists() or (MODEL / "recipe").read_text() != stamp:
        subprocess.run([TOOL / "bin" / "python", RECIPE, MODEL], check=True, capture_output=True, timeout=300)
        (MODEL / "recipe").write_text(stamp)
    return MODEL


def _end_with_parent() -> None:
    """Make the kernel send SIGTERM when the server's parent process dies, however it does."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@contextmanager
def tiny_server(*more: str) -> Iterator[str]:
    """Serve the model with random weights with `heats serve`; yields the base URL.

    Args:
        more: further arguments of `vllm serve`.

    Raises:
        RuntimeError: it did not start; the message ends with its last output.
    """
    with served(tiny_model(), NAME, "--tool-parser", "hermes", extra=(*_EXTRA, *more)) as base_url:
        yield base_url


@contextmanager
def smol_server(*extra: str) -> Iterator[str]:
    """Serve SmolLM2-135M-Instruct with `heats serve`, which finds that its chat template does not support tools.

    Args:
        extra: further arguments of `vllm serve`.

    Raises:
        RuntimeError: see `tiny_server`.
    """
    with served(SMOL, "smol", extra=(*_EXTRA, *_REAL, *extra), environment=_REAL_ENVIRONMENT) as base_url:
        yield base_url


@contextmanager
def served(
    model: Path, name: str, *options: str, extra: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve a model with `heats serve`; yields the base URL.

    Args:
        model: the model's directory.
        name: what clients call it.
        options: further options of `heats serve`.
        extra: arguments of `vllm serve`.

    Raises:
        RuntimeError: it did not start; the message ends with its last output.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    heats = [sys.executable, "-c", "from heats.cli import main; main()", "serve", str(model), "--name", name]
    place = ["--port", str(port), "--vllm", str(TOOL / "bin" / "vllm"), "--wait", "600"]
    command = [*heats, *place, *options, "--context", str(CONTEXT), "--", *extra]
    with (LOGS / f"vllm-{name}.log").open("w+") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **_ENVIRONMENT, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=_end_with_parent,
        )
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            ready = re.match(r"ready +(\S+)", said)
            if ready is None:
                log.seek(0)
                raise RuntimeError(f"vLLM did not start with {name}:\n{log.read()[-3000:]}")
            yield ready[1]
        finally:
            process.terminate()
            process.wait(60)
            process.stdout.close()


def main() -> None:
    """Print how long the model and the start take, then serve until Ctrl-C."""
    if missing():
        print(missing())
        return
    began = time.perf_counter()
    tiny_model()
    built = time.perf_counter()
    with tiny_server() as base_url:
        print(f"model {built - began:.0f} s, start {time.perf_counter() - built:.0f} s, {base_url}", flush=True)
        while sys.argv[1:] == ["serve"]:
            time.sleep(1)


if __name__ == "__main__":
    main()
