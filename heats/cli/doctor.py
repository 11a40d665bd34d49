"""`heats doctor`: is everything there that a run needs?"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Annotated

import typer

from agents.llm import ModelConfig, open_model
from heats.cli.failures import explain
from heats.config import HeatsConfig, load_config
from heats.errors import ExitCode, PreflightFailed
from sandbox import open_backend
from sandbox.base import SandboxSpec

OUR_PACKAGES = ("heats", "tournament", "summarizer", "envs", "agents", "sandbox", "configs")

Check = tuple[str, Callable[[], Awaitable[str]]]


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


async def _model(config: ModelConfig) -> str:
    model = open_model(config)
    try:
        facts = await model.preflight()
        return f"{model.name}: " + ", ".join(f"{name} {value}" for name, value in facts.items())
    finally:
        await model.close()
