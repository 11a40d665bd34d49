"""`heats doctor`: is everything there that a run needs?"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import envs
from agents import open_agent
from agents.llm import ModelConfig, open_model
from agents.llm.base import meters_of
from core.record import Record
from core.sanitize import for_screen
from heats.cli.failures import explain
from heats.cli.session import print_json
from heats.config import HeatsConfig, load_config
from heats.errors import ExitCode, PreflightFailed
from heats.runner.model_mix import policy_of
from heats.runner.oracle import NAME as ORACLE
from sandbox import SandboxBackend, SandboxConfig, open_backend
from sandbox.attest import allows_io_uring
from sandbox.base import SandboxLimits, SandboxSpec
from sandbox.host_image import shown_in_host_image
from sandbox.versions import host_components

if TYPE_CHECKING:
    from agents.llm.probe import ProbeReport
    from agents.presets import InstalledAgent

_VERSION_S = 120.0
OUR_PACKAGES = ("heats", "tournament", "summarizer", "envs", "agents", "sandbox", "configs")


class Finding(Record):
    """One finding: what was checked, its state, and what is used instead if it is missing."""

    name: str
    state: Literal["ok", "warn", "missing", "FAIL"]
    detail: str
    instead: str = ""

    def __str__(self) -> str:
        return f"{self.state:7} {self.name:14} {self.detail}" + (f"; instead: {self.instead}" if self.instead else "")


_IO_URING = Finding(
    name="system calls",
    state="warn",
    detail="sandboxes may use io_uring, which Docker refuses since version 25; "
    "sysctl -w kernel.io_uring_disabled=2 turns it off for the whole machine",
)


Check = tuple[str, Callable[[], Awaitable[str | list[Finding]]]]


class Doubt(Exception):
    """Something works, but not as well as it should; reported, but not a failure."""


def doctor(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model to probe.")] = None,
    base_url: Annotated[
        list[str] | None, typer.Option("--base-url", help="Server to probe; repeat for several of one model.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Agent to load.")] = None,
    sandbox: Annotated[str | None, typer.Option("--sandbox", help="auto, docker or bubblewrap.")] = None,
    image: Annotated[str | None, typer.Option("--image", help="Image to start.")] = None,
    config: Annotated[
        list[str] | None, typer.Option("--config", "-c", help="YAML file, preset or key=value; repeatable.")
    ] = None,
    strict_host: Annotated[
        bool, typer.Option("--strict-host", help="Fail on an outdated container engine, runtime or kernel.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON object.")] = False,
) -> None:
    """Check sandbox, agent, model, disk and installation: one line each, exit code 6 if something is missing.

    A model server is probed for every feature that heats can use. Where it lacks one, the line says what is used
    instead.
    """
    options = {
        "model.name": model,
        "model.base_url": list(base_url) if base_url else None,
        "agent.name": agent,
        "sandbox.backend": sandbox,
        "sandbox.image": image,
        "sandbox.strict_host": strict_host or None,
    }
    loaded = load_config(config or (), options)
    place = _Place(loaded.sandbox)
    checks: list[Check] = [
        ("packages", _packages),
        ("disk", lambda: _disk(loaded)),
        ("host", partial(_host, place)),
        ("sandbox", partial(_sandbox, place)),
        ("location", lambda: _location(loaded)),
        ("agent", lambda: _agent(loaded, place)),
    ]
    checks += [(name, partial(_model, name, one)) for name, one in models_of(loaded).items()]
    fine = asyncio.run(_examine(checks, json))
    if not fine:
        raise typer.Exit(ExitCode.PREFLIGHT)


def models_of(config: HeatsConfig) -> dict[str, ModelConfig]:
    """The distinct models of a configuration: the rollouts' models, then the summarizer's and the judge's."""
    if config.model is None and not config.models:
        return {}
    playing = [policy_of(config, index).model for index in range(config.rollouts)]
    different = [one for at, one in enumerate(playing) if one not in playing[:at]]
    named = {"model" if at == 0 else f"model {at + 1}": one for at, one in enumerate(different)}
    others = {"summarizer": config.summarizer_model, "judge": config.judge_model}
    for name, model in others.items():
        if model is not None and model not in named.values():
            named[name] = model
    return named


async def _examine(checks: list[Check], json: bool = False) -> bool:
    lines: list[Finding] = []
    for name, check in checks:
        for line in await _lines(name, check):
            lines.append(line)
            if not json:
                typer.echo(for_screen(str(line)))
    fine = all(line.state != "FAIL" for line in lines)
    if json:
        print_json({"ok": fine, "checks": [line.model_dump() for line in lines]})
    return fine


async def _lines(name: str, check: Callable[[], Awaitable[str | list[Finding]]]) -> list[Finding]:
    try:
        said = await check()
    except Doubt as doubt:
        return [Finding(name=name, state="warn", detail=str(doubt))]
    except Exception as error:
        return [Finding(name=name, state="FAIL", detail=explain(error)[1])]
    return [Finding(name=name, state="ok", detail=said)] if isinstance(said, str) else said


async def _packages() -> str:
    clashes = sorted(
        f"{name} (also in {', '.join(others)})"
        for name, owners in metadata.packages_distributions().items()
        if name in OUR_PACKAGES and (others := set(owners) - {"heats"})
    )
    if clashes:
        raise PreflightFailed(f"import names clash: {'; '.join(clashes)}; install heats in a separate environment")
    if shutil.which("git") is None:
        raise PreflightFailed("git is not installed on this machine, and heats needs it to read repositories")
    return f"heats {metadata.version('heats')}, no import name clashes"


async def _disk(config: HeatsConfig) -> str:
    free_mb = shutil.disk_usage(tempfile.gettempdir()).free >> 20
    if free_mb < config.min_free_disk_mb:
        raise PreflightFailed(f"{free_mb} MiB free, {config.min_free_disk_mb} needed")
    return f"{free_mb} MiB free"


class _Place:
    """Where sandboxes start; `auto` is resolved, and reported, only once."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config

    async def open(self) -> SandboxBackend:
        backend = await open_backend(self.config)
        self.config = self.config.model_copy(update={"backend": backend.name})
        return backend


async def _host(place: _Place) -> str:
    """Check what runs the sandboxes; an old version is only a doubt, since the distribution may have patched it."""
    backend = await place.open()
    try:
        components = await host_components(backend)
    finally:
        await backend.close()
    said = ", ".join(map(str, components))
    if any(one.below for one in components):
        raise Doubt(f"{said}; check whether your distribution has backported the fixes, or use another runtime")
    return said


async def _sandbox(place: _Place) -> list[Finding]:
    backend = await place.open()
    try:
        image = place.config.image or ""
        await backend.preflight([image])
        sandbox = await backend.start(SandboxSpec(image=image, labels={"run": "doctor"}))
        try:
            result = await sandbox.exec("python3 --version; git --version", timeout=30, merge_stderr=True)
            io_uring = await allows_io_uring(sandbox)
        finally:
            await sandbox.close()
        if not result.ok:
            raise PreflightFailed(f"{image or 'the image'} has no python3 or git: {result.text().strip()}")
        versions = ", ".join(result.text().split(chr(10))[:2])
        line = Finding(name="sandbox", state="ok", detail=f"{backend.name}, {image or 'its own image'}: {versions}")
        return [line, *([_IO_URING] if io_uring else [])]
    finally:
        await backend.close()


async def _location(config: HeatsConfig) -> str:
    """Check that no sandbox exposes this installation, which contains the built-in tasks' hidden tests."""
    place = _home()
    shown = shown_in_host_image(place, packages=config.sandbox.host_packages)
    if not shown or config.sandbox.backend == "docker":
        return f"{place.parent}, not visible in any sandbox"
    raise Doubt(
        f"bubblewrap sandboxes of image `host` show {place.parent}: attempts at the built-in tasks could read their "
        "hidden tests; install heats elsewhere (uv tool install, a venv), or leave sandbox.host_packages off"
    )


def _home() -> Path:
    return Path(envs.__file__).resolve().parent


async def _agent(config: HeatsConfig, place: _Place) -> str:
    """Check that the agent can be loaded; one that heats installs, in a sandbox. The oracle comes with its tasks."""
    if config.agent.name == ORACLE:
        return ORACLE
    from agents.mini_agent import MiniAgent  # other agents need neither
    from agents.presets import InstalledAgent

    made = open_agent(config.agent.name, config.agent)
    if isinstance(made, InstalledAgent):
        return await _installed(made, place)
    return f"{made.name}, run by {made.python}" if isinstance(made, MiniAgent) else made.name


async def _installed(agent: "InstalledAgent", place: _Place) -> str:
    """Check that an agent is installed, or can be, and that it starts in the image.

    Raises:
        Doubt: it is not installed yet.
        PreflightFailed: it can neither run nor be installed.
    """
    if not agent.place.is_dir():
        if lacks := await agent.recipe.missing():
            raise PreflightFailed(f"{agent.name} {agent.version} is not installed, and cannot be: {lacks}")
        raise Doubt(f"{agent.name} {agent.version} is not installed yet; the first run installs it in {agent.place}")
    backend = await place.open()
    try:
        image = place.config.image or ""
        limits = SandboxLimits(memory_mb=1 << 20 if backend.name == "bubblewrap" else 2048)
        spec = SandboxSpec(image=image, limits=limits, labels={"run": "doctor"}, read_only_mounts=await agent.mounts())
        sandbox = await backend.start(spec)
        try:
            result = await sandbox.exec(agent.version_command, timeout=_VERSION_S, merge_stderr=True)
        finally:
            await sandbox.close()
    finally:
        await backend.close()
    said = " ".join(result.text().split())[-200:]
    if not result.ok:
        raise PreflightFailed(f"{agent.name} does not start in {image or 'the image'} (does it have glibc?): {said}")
    return f"{agent.name} {agent.version} in {agent.place}, says: {said}"


async def _model(name: str, config: ModelConfig) -> list[Finding]:
    """Check that the model answers and, if it runs on a server, what the server supports."""
    from agents.llm.probe import probe  # aiohttp takes long to import

    model = open_model(config)
    try:
        facts = await model.preflight()
    finally:
        await model.close()
    told = ", ".join(f"{key} {value}" for key, value in facts.items() if key != "model")
    line = Finding(name=name, state="ok", detail=f"{model.name}: {told}" if told else model.name)
    if not meters_of(model):
        return [line]
    return [line, *_findings(name, await probe(config))]


def _findings(name: str, report: "ProbeReport") -> Iterator[Finding]:
    prefix = "" if name == "model" else f"{name} "
    for one in report.findings:
        state: Literal["ok", "warn", "missing"] = "ok" if one.works else "missing" if one.works is False else "warn"
        yield Finding(name=f"{prefix}{one.feature}", state=state, detail=one.detail, instead=one.instead)
