"""A vLLM server as a child process: its command line, readiness check and actual limits."""

import asyncio
import os
import re
import shutil
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.llm import ModelConfig
from heats.errors import InfrastructureFailed, PreflightFailed
from heats.serving.cpu import cpu_environment, cpu_flags
from heats.serving.families import Family, family_of
from heats.serving.model_files import knows_tools

if TYPE_CHECKING:
    from agents.llm.server import Server, ServerLimits

_POLL_S, _TELL_S = 0.5, 30.0
_KEPT_LINES, _LONGEST_LINE = 2000, 1 << 16
_ERROR = re.compile(r"\b(?:[A-Za-z_.]*(?:Error|Exception)|error): .+")
_ABOUT_ANOTHER = re.compile(
    r"root cause|EngineDeadError|Engine core init|Failed core proc|ChildFailedError|WorkerProc init|\b(?:INFO|WARNING) "
)
_KILLED = 128 + 9
_GUARD = Path(__file__).with_name("guard.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to serve and how. None and 1 keep vLLM's defaults.

    Attributes:
        name: served name of the model; defaults to the model's own name.
        context: context length in tokens, prompt and reply combined.
        tools: tool-call parser; None selects the family's if the chat template supports tools, `none` disables it.
            Likewise `reasoning`.
        on_cpu: whether vLLM is a CPU build, which needs an explicit memory limit.
        side_by_side: number of servers that share the machine's memory.
        sleeps: whether the server has vLLM's sleep mode, in which it releases the GPU's memory.
        extra: further arguments of `vllm serve`, which override ours.
    """

    model: str
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    context: int | None = None
    tensor_parallel: int = 1
    data_parallel: int = 1
    tools: str | None = None
    reasoning: str | None = None
    on_cpu: bool = False
    side_by_side: int = 1
    sleeps: bool = False
    extra: tuple[str, ...] = ()

    @property
    def family(self) -> Family | None:
        """The model's family, if it is known."""
        return family_of(self.model)

    @property
    def knows_tools(self) -> bool:
        """Whether the model may support tools: its chat template renders them or is not available for inspection."""
        templated = any(one.startswith("--chat-template") for one in self.extra)
        return templated or knows_tools(self.model) is not False

    @property
    def tool_parser(self) -> str:
        """The tool-call parser to use; empty for none."""
        return _chosen(self.tools, self.family.tools if self.family and self.knows_tools else "")

    @property
    def reasoning_parser(self) -> str:
        """The reasoning parser to use; empty for none."""
        return _chosen(self.reasoning, self.family.reasoning if self.family else "")

    @property
    def base_url(self) -> str:
        """Base URL for clients on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}/v1"

    def arguments(self) -> list[str]:
        """Return the arguments of `vllm serve`: those required by agents, then the user's."""
        found = ["serve", self.model, "--host", self.host, "--port", str(self.port)]
        found += ["--served-model-name", self.name] if self.name else []
        if self.tool_parser:
            found += ["--enable-auto-tool-choice", "--tool-call-parser", self.tool_parser]
        found += ["--reasoning-parser", self.reasoning_parser] if self.reasoning_parser else []
        found += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
        found += ["--max-model-len", str(self.context)] if self.context else []
        found += ["--tensor-parallel-size", str(self.tensor_parallel)] if self.tensor_parallel > 1 else []
        found += ["--data-parallel-size", str(self.data_parallel)] if self.data_parallel > 1 else []
        found += ["--enable-sleep-mode"] if self.sleeps else []
        found += cpu_flags(self.model, self.context, self.extra, self.side_by_side) if self.on_cpu else []
        return [*found, *self.extra]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the server in addition to those of this process."""
        return cpu_environment() if self.on_cpu else {}

    def solve_flags(self) -> list[str]:
        """Return the flags with which `heats solve` uses this server."""
        return self.solve_flags_for([self.base_url])

    def solve_flags_for(self, base_urls: Sequence[str]) -> list[str]:
        """Return the flags with which `heats solve` uses several such servers."""
        flags = ["--model", self.name or self.model]
        flags += [part for one in base_urls for part in ("--base-url", one)]
        return flags if self.tool_parser else [*flags, "-c", "model.text_protocol=true"]


def _chosen(given: str | None, family: str) -> str:
    return family if given is None else "" if given == "none" else given


def find_vllm(given: str | None) -> str:
    """Find the `vllm` program: as given, installed next to heats, or on PATH.

    Raises:
        PreflightFailed: there is no such program.
    """
    beside = Path(sys.executable).with_name("vllm")
    found = shutil.which(given) if given else str(beside) if beside.is_file() else shutil.which("vllm")
    if found is None:
        where = f"no such program: {given}" if given else "vLLM is not installed"
        raise PreflightFailed(f"{where}: install heats[vllm], or give the path of another vLLM with --vllm PATH")
    return found


class Words:
    """Output of a process: forwarded to our stderr, with the latest lines kept."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._rest = b""

    async def pass_on(self, stream: asyncio.StreamReader) -> None:
        """Forward the stream until it ends."""
        while said := await stream.read(1 << 16):
            sys.stderr.buffer.write(said)
            sys.stderr.buffer.flush()
            *lines, self._rest = (self._rest + said)[-_LONGEST_LINE:].split(b"\n")
            self._lines += (line.decode("utf-8", "replace") for line in lines)

    def reason(self, code: int) -> str:
        """Explain an exit code by the first root-cause error in the output; empty if there is none."""
        told = [match for line in self._lines if (match := _ERROR.search(line))]
        causes = [match for match in told if not _ABOUT_ANOTHER.search(match.string)]
        chosen = (causes or told[-1:])[:1]
        if chosen:
            return " ".join(chosen[0].group().split())[:500]
        return "it was killed, most likely because memory ran out" if code == _KILLED else ""


@asynccontextmanager
async def guarded(
    command: list[str], words: Words, *, grace_s: float, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command that ends with the context or this process, descendants included, even after `kill -9`.

    Signals sent to the process are forwarded, and a second signal kills it; its output goes to our stderr.

    Args:
        command: program and arguments.
        words: keeps the latest lines of output.
        grace_s: seconds between the first signal and the kill of a command that ignores it.
        environment: environment variables in addition to those of this process.
    """
    theirs, ours = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_GUARD), str(theirs), str(grace_s), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(theirs,),
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    assert process.stdout is not None
    hearing = asyncio.create_task(words.pass_on(process.stdout))
    try:
        yield process
    finally:
        os.close(ours)
        await process.wait()
        await hearing


def client_of(wanted: Wanted) -> "Server":
    """The HTTP side of a server that runs on this machine."""
    from agents.llm.server import Server  # importing aiohttp is slow

    config = ModelConfig(name=wanted.name or wanted.model, base_url=wanted.base_url)
    return Server(config, os.environ.get("VLLM_API_KEY", "none"))


async def wait_until_ready(
    wanted: Wanted, process: asyncio.subprocess.Process, limit_s: float, tell: Callable[[str], None]
) -> "ServerLimits":
    """Wait until the server is ready; returns its limits.

    Args:
        wanted: the server.
        process: the server's process.
        limit_s: maximum wait in seconds, including the download of a model.
        tell: called with occasional progress lines.

    Raises:
        InfrastructureFailed: the server exited or did not become ready in time.
    """
    started = told = time.monotonic()
    server = client_of(wanted)
    try:
        while not await server.healthy():
            if process.returncode is not None:
                raise InfrastructureFailed(f"vllm exited with code {process.returncode}")
            now = time.monotonic()
            if now - started > limit_s:
                raise InfrastructureFailed(f"vllm does not answer after {limit_s:g} s; allow more with --wait")
            if now - told > _TELL_S:
                told = now
                tell(f"vllm is starting ({now - started:.0f} s)")
            await asyncio.sleep(_POLL_S)
        return await server.limits(wanted.name or wanted.model)
    finally:
        await server.close()
