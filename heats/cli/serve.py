"""`heats serve`: start vLLM with the settings that agents need."""

import asyncio
import dataclasses
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heats.cli.options import spread
from heats.cli.session import say
from heats.errors import InfrastructureFailed, UsageError
from heats.formatting import duration
from heats.serving.cpu import is_cpu_build
from heats.serving.replicas import Fleet, Replica, find_router, replicas_of, router_command, taking_turns
from heats.serving.server import Wanted, Words, find_vllm, guarded, wait_until_ready

if TYPE_CHECKING:
    from agents.llm.server import ServerLimits

_GRACE_S = 30.0
"""Seconds between the first signal and killing a vLLM that ignores it."""
_SHARED_GPU = "shared"
MODEL, PLACE, PARSERS = "What", "Where", "Parsers (default: by model family)"


def _option(name: str, panel: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Options of `heats serve`. None leaves the value to vLLM."""

    name: Annotated[str | None, _option("--name", MODEL, "Name under which clients know the model.")] = None
    context: Annotated[
        int | None, _option("--context", MODEL, "Context length: tokens of prompt and reply together.", min=1)
    ] = None
    tensor_parallel: Annotated[int, _option("--tensor-parallel", MODEL, "GPUs per copy of the model.", min=1)] = 1
    data_parallel: Annotated[int, _option("--data-parallel", MODEL, "Copies of the model.", min=1)] = 1
    replicas: Annotated[int, _option("--replicas", MODEL, "Servers, each with a port and GPUs of its own.", min=1)] = 1
    second: Annotated[
        str | None,
        _option("--second", MODEL, "Another model on the same GPUs, such as a judge; they take turns."),
    ] = None
    gpus: Annotated[
        str | None, _option("--gpus", PLACE, "Ids of the GPUs, such as 0,1,2,3; with replicas, 0,0 shares one.")
    ] = None
    router: Annotated[
        bool, _option("--router/--no-router", PLACE, "Put vllm-router before replicas, where it is installed.")
    ] = True
    host: Annotated[
        str, _option("--host", PLACE, "Address to listen on; 0.0.0.0 accepts connections from anywhere.")
    ] = "127.0.0.1"
    port: Annotated[int, _option("--port", PLACE, "Port to listen on.", min=1, max=65535)] = 8000
    vllm: Annotated[str | None, _option("--vllm", PLACE, "vllm executable, if it is not on PATH.")] = None
    wait: Annotated[
        float, _option("--wait", PLACE, "Seconds to wait for the server to answer, downloads included.")
    ] = 3600
    tool_parser: Annotated[str | None, _option("--tool-parser", PARSERS, "Parser for tool calls, or none.")] = None
    reasoning_parser: Annotated[
        str | None, _option("--reasoning-parser", PARSERS, "Parser for reasoning, or none.")
    ] = None
    show: Annotated[bool, _option("--print", PLACE, "Print the vllm command and exit.")] = False

    def wanted(self, model: str, extra: tuple[str, ...]) -> Wanted:
        """The server described by these options."""
        return Wanted(
            model=model,
            name=self.name,
            host=self.host,
            port=self.port,
            context=self.context,
            tensor_parallel=self.tensor_parallel,
            data_parallel=self.data_parallel,
            tools=self.tool_parser,
            reasoning=self.reasoning_parser,
            extra=extra,
        )


@spread
def serve(
    *,
    model: Annotated[str, typer.Argument(help="Name or directory of the model.", show_default=False)],
    extra: Annotated[
        list[str] | None, typer.Argument(help="Further arguments of vllm serve, after --.", show_default=False)
    ] = None,
    options: ServeOptions,
) -> None:
    """Start vLLM with the flags that agents need, wait until it answers, and report what it supports. Ctrl-C stops it.

    Tool calls and reasoning are read by the parsers of the model's family; prefix caching and counts of cached tokens
    are on.
    """
    wanted = options.wanted(model, tuple(extra or ()))
    program = (options.vllm or "vllm") if options.show else find_vllm(options.vllm)
    wanted = dataclasses.replace(wanted, on_cpu=is_cpu_build(shutil.which(program) or program))
    for note in _notes(wanted):
        say(f"note: {note}")
    if options.second and options.replicas > 1:
        raise UsageError("--second and --replicas cannot be combined: give each model a `heats serve` of its own")
    if options.second:
        raise typer.Exit(_pair(program, wanted, options))
    if options.replicas > 1:
        raise typer.Exit(_replicas(program, wanted, options))
    if options.show:
        typer.echo(shlex.join([*(f"{k}={v}" for k, v in wanted.environment.items()), program, *wanted.arguments()]))
        return
    code = asyncio.run(_run([program, *wanted.arguments()], wanted, options.wait))
    raise typer.Exit(code)


def _replicas(program: str, wanted: Wanted, options: ServeOptions) -> int:
    """Start several servers of one model, or show how; returns the exit code.

    Raises:
        UsageError: there are not enough GPUs.
        InfrastructureFailed: a server never got ready, or died too often.
    """
    found = find_router() if options.router else None
    replicas = replicas_of(wanted, options.replicas, _gpus(options), routed=found is not None)
    router = router_command(found, wanted, replicas) if found else None
    urls = [wanted.base_url] if router else [one.wanted.base_url for one in replicas]
    flags = [*wanted.solve_flags_for(urls), *(["-c", "model.session=vllm-router"] if router else [])]
    return _fleet(program, replicas, router, flags, options)


def _pair(program: str, wanted: Wanted, options: ServeOptions) -> int:
    """Start two models that take turns on their GPUs, or show how; returns the exit code.

    Raises:
        UsageError: vLLM runs on a CPU.
        InfrastructureFailed: a server never got ready, or died too often.
    """
    assert options.second is not None
    first, second = taking_turns(wanted, options.second, _gpus(options))
    judge = {"name": second.wanted.model, "base_url": second.wanted.base_url, "gpu": _SHARED_GPU}
    if not second.wanted.tool_parser:
        judge["text_protocol"] = "true"
    flags = [*first.wanted.solve_flags(), "-c", f"model.gpu={_SHARED_GPU}"]
    flags += [part for key, value in judge.items() for part in ("-c", f"judge_model.{key}={value}")]
    return _fleet(program, (first, second), None, flags, options)


def _gpus(options: ServeOptions) -> list[str]:
    return [one.strip() for one in (options.gpus or "").split(",") if one.strip()]


def _fleet(
    program: str, replicas: Sequence[Replica], router: list[str] | None, flags: Sequence[str], options: ServeOptions
) -> int:
    """Run several servers, or show how; returns the exit code.

    Args:
        program: path of vLLM.
        replicas: the servers.
        router: command of a router in front of them, if any.
        flags: options with which `heats solve` uses them.
        options: the options of `heats serve`.

    Raises:
        InfrastructureFailed: a server never got ready, or died too often.
    """
    if options.show:
        for one in replicas:
            typer.echo(
                shlex.join([*(f"{k}={v}" for k, v in one.environment.items()), program, *one.wanted.arguments()])
            )
        if router:
            typer.echo(shlex.join(router))
        return 0

    def tell(limits: "Sequence[ServerLimits]") -> None:
        for one, known in zip(replicas, limits, strict=True):
            cache = f", {known.kv_tokens:,} tokens of cache" if known.kv_tokens else ""
            typer.echo(f"ready    {one.wanted.base_url}{cache}")
        typer.echo(f"check    heats doctor {shlex.join(flags)}")
        typer.echo(f"use      heats solve {shlex.join(flags)} ...")
        sys.stdout.flush()

    async def run() -> int:
        return await Fleet(program, replicas, router, options.wait, say, grace_s=_GRACE_S).run(tell)

    return asyncio.run(run())


def _notes(wanted: Wanted) -> list[str]:
    """What the user should know before the server starts."""
    if wanted.tool_parser:
        return []
    known = wanted.family.name if wanted.family else ""
    why = f"{known} models do not call tools" if known else f"the family of {wanted.model!r} is not known"
    if not wanted.knows_tools:
        why = "its chat template does not support tools"
    return [f"{why}: without --tool-parser NAME the model is asked for fenced blocks (-c model.text_protocol=true)"]


async def _run(command: list[str], wanted: Wanted, limit_s: float) -> int:
    """Keep vLLM running until it exits or a signal arrives, with its output on our stderr; returns the exit code.

    Raises:
        InfrastructureFailed: it failed without having been stopped.
    """
    received: list[int] = []
    words = Words()
    async with guarded(command, words, grace_s=_GRACE_S, environment=wanted.environment) as process:

        def stop(number: int) -> None:
            received.append(number)
            if process.returncode is None:
                process.send_signal(number)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
        await _until_ended(process, wanted, limit_s, received)
    code = process.returncode or 0
    if code and not received:
        why = words.reason(code)
        raise InfrastructureFailed(f"vllm exited with code {code}{f': {why}' if why else '; see its output above'}")
    return 128 + received[0] if received else code


async def _until_ended(
    process: asyncio.subprocess.Process, wanted: Wanted, limit_s: float, received: list[int]
) -> None:
    """Report when the server is ready, then wait until it exits.

    Raises:
        InfrastructureFailed: it is running but does not answer in time.
    """
    started = asyncio.get_running_loop().time()
    ready = asyncio.ensure_future(wait_until_ready(wanted, process, limit_s, say))
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
    if ready.done() and not received and process.returncode is None:
        _tell(wanted, ready.result(), asyncio.get_running_loop().time() - started)
    ready.cancel()
    with suppress(asyncio.CancelledError, InfrastructureFailed):
        await ready
    await ended


def _tell(wanted: Wanted, limits: "ServerLimits", seconds: float) -> None:
    typer.echo(f"ready    {wanted.base_url} after {duration(seconds)}" + _version(limits))
    if limits.context:
        typer.echo(f"context  {limits.context:,} tokens of prompt and reply together")
    if limits.kv_tokens and limits.context:
        whole = limits.kv_tokens / limits.context
        typer.echo(f"cache    {limits.kv_tokens:,} tokens, {whole:.1f} requests of full length at once")
    typer.echo(f"check    heats doctor {shlex.join(wanted.solve_flags())}")
    typer.echo(f"use      heats solve {shlex.join(wanted.solve_flags())} ...")
    sys.stdout.flush()


def _version(limits: "ServerLimits") -> str:
    return f", vLLM {limits.version}" if limits.version else ""
