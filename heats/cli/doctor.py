"""`heats doctor`: is everything there that a run needs?"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

import envs
from agents.llm import ModelConfig, open_model
from heats.cli.failures import explain
from heats.config import HeatsConfig, load_config
from heats.errors import ExitCode, PreflightFailed
from sandbox import open_backend
from sandbox.base import SandboxSpec

OUR_PACKAGES = ("heats", "tournament", "summarizer", "envs", "agents", "sandbox", "configs")

Check = tuple[str, Callable[[], Awaitable[str]]]


class Doubt(Exception):
    """Something that works, but not as well as it should; said, and no failure."""


def doctor(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model to probe.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Server to probe.")] = None,
    sandbox: Annotated[str | None, typer.Option("--sandbox", help="auto, docker or bubblewrap.")] = None,
    image: Annotated[str | None, typer.Option("--image", help="Image to start.")] = None,
    config: Annotated[list[str] | None, typer.Option("--config", "-c", help="As for heats solve.")] = None,
) -> None:
    """Check the sandbox, the model, the disk and the installation; one line each, exit 6 if something is missing."""
    options = {"model.name": model, "model.base_url": base_url, "sandbox.backend": sandbox, "sandbox.image": image}
    loaded = load_config(config or (), options)
    checks: list[Check] = [
        ("packages", _packages),
        ("disk", lambda: _disk(loaded)),
        ("sandbox", lambda: _sandbox(loaded)),
        ("location", lambda: _location(loaded)),
    ]
    if loaded.model is not None:
        wanted = loaded.model
        checks.append(("model", lambda: _model(wanted)))
    if not asyncio.run(_examine(checks)):
        raise typer.Exit(ExitCode.PREFLIGHT)


async def _examine(checks: list[Check]) -> bool:
    fine = True
    for name, check in checks:
        try:
            typer.echo(f"ok    {name:9} {await check()}")
        except Doubt as doubt:
            typer.echo(f"warn  {name:9} {doubt}")
        except Exception as error:
            fine = False
            typer.echo(f"FAIL  {name:9} {explain(error)[1]}")
    return fine


async def _packages() -> str:
    clashes = sorted(
        f"{name} (also in {', '.join(others)})"
        for name, owners in metadata.packages_distributions().items()
        if name in OUR_PACKAGES and (others := set(owners) - {"heats"})
    )
    if clashes:
        raise PreflightFailed(f"import names clash: {'; '.join(clashes)}; install heats in an environment of its own")
    return f"heats {metadata.version('heats')}, no import name clashes"


async def _disk(config: HeatsConfig) -> str:
    free_mb = shutil.disk_usage(tempfile.gettempdir()).free >> 20
    if free_mb < config.min_free_disk_mb:
        raise PreflightFailed(f"{free_mb} MiB free, {config.min_free_disk_mb} needed")
    return f"{free_mb} MiB free"


async def _sandbox(config: HeatsConfig) -> str:
    backend = await open_backend(config.sandbox)
    try:
        image = config.sandbox.image or ""
        await backend.preflight([image])
        sandbox = await backend.start(SandboxSpec(image=image, labels={"run": "doctor"}))
        try:
            result = await sandbox.exec("python3 --version; git --version", timeout=30, merge_stderr=True)
        finally:
            await sandbox.close()
        if not result.ok:
            raise PreflightFailed(f"{image or 'the image'} has no python3 or git: {result.text().strip()}")
        return f"{backend.name}, {image or 'its own image'}: {', '.join(result.text().split(chr(10))[:2])}"
    finally:
        await backend.close()


async def _location(config: HeatsConfig) -> str:
    """The hidden tests of the built-in tasks are files of this installation; no sandbox may show them."""
    place = _home()
    shown = shown_by_host_root(place)
    if shown is None or config.sandbox.backend == "docker":
        return f"{place.parent}, which no sandbox shows"
    raise Doubt(
        f"{place.parent} is below {shown}, which bubblewrap sandboxes on the host's own root show: attempts at the "
        "built-in tasks could read their hidden tests; install heats elsewhere (uv tool install, a venv)"
    )


def _home() -> Path:
    return Path(envs.__file__).resolve().parent


def shown_by_host_root(place: Path) -> Path | None:
    """The directory that a bubblewrap sandbox of image `host` binds and that holds `place`, if there is one."""
    bound = [Path("/usr"), Path(sys.base_prefix).resolve(), *(Path("/") / name for name in ("bin", "sbin", "lib"))]
    return next((folder for folder in bound if place.is_relative_to(folder)), None)


async def _model(config: ModelConfig) -> str:
    model = open_model(config)
    try:
        facts = await model.preflight()
        return f"{model.name}: " + ", ".join(f"{name} {value}" for name, value in facts.items())
    finally:
        await model.close()
