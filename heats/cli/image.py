"""`heats image`: make an image in which a repository's tests run, to share or to push."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from envs import RepositoryEnv
from envs.machine import spec_for
from heats.cli.check import CheckOptions, make_plan, run_check, try_plan
from heats.cli.options import spread
from heats.cli.session import say
from heats.config import HeatsConfig, load_config
from heats.environment.detect import detect
from heats.environment.project_file import ProjectFile, read_project_file
from heats.errors import PreflightFailed, UsageError
from heats.signals import run_interruptibly
from sandbox import open_backend
from sandbox.images import Images
from sandbox.prepared import KeepsPrepared

_BUILD_S = 3600.0
_TAG = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,200}")
_OURS = "heats-prepared"


@spread
def image(
    *,
    repo: Annotated[Path, typer.Argument(help="A git repository; only its committed tree is used.")] = Path(),
    tag: Annotated[str, typer.Option("--tag", "-t", help="Name of the image, such as registry.example/app-tests:1.")],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="Build this Dockerfile, in place of running the detected set-up.", show_default=False
        ),
    ] = None,
    options: CheckOptions,
) -> None:
    """Make an image in which the repository's tests run, and write heats.yaml to use it. Needs Docker.

    Without --file it holds what the set-up of `heats check` leaves, so that no later run needs a network or a set-up,
    on any machine that pulls it. Exit codes are those of `heats check`, which tries the image at the end.
    """
    if not _TAG.fullmatch(tag) or tag.startswith(_OURS):
        raise UsageError(f"--tag {tag}: expected a lower-case image name, such as app-tests:1")
    if options.dry_run:
        raise UsageError("--dry-run is an option of heats check, which shows what is detected")
    if options.sandbox not in (None, "docker"):
        raise UsageError("heats image makes Docker images: leave --sandbox out")
    if file is not None and options.setup is not None:
        raise UsageError("give either --file or --setup: the Dockerfile is the set-up")
    config = load_config(options.config or (), {"sandbox.backend": "docker"})
    if file is not None:
        if not file.is_file():
            raise UsageError(f"--file {file}: no such file")
        run_interruptibly(_build(repo, file, tag, config))
    else:
        run_interruptibly(_prepare(repo, tag, options, config))
    say(f"built    {tag}")
    run_check(repo, replace(options, image=tag, setup="", setup_network="none", sandbox="docker"))


async def _build(repo: Path, file: Path, tag: str, config: HeatsConfig) -> None:
    backend = await open_backend(config.sandbox)
    try:
        say(f"building {file}")
        await Images.of(backend).build(repo, tag, timeout_s=_BUILD_S, labels={"made": "image"}, file=file)
    finally:
        await backend.close()


async def _prepare(repo: Path, tag: str, options: CheckOptions, config: HeatsConfig) -> None:
    """Run the set-up, see that the tests run, and give what it left a name of its own.

    Raises:
        UsageError: there is no set-up, or no test command.
        PreflightFailed: the tests do not run.
    """
    found, known = await asyncio.to_thread(detect, repo, options.base), read_project_file(repo) or ProjectFile()
    plan = make_plan(repo, options, known, found)
    if plan.project.test is None:
        raise UsageError("nothing here says how the tests run: give --test, and --setup if they need one")
    if not plan.project.setup:
        raise UsageError("the tests need no set-up, so there is nothing to put into an image: see heats check")
    say(f"set-up   {plan.project.setup}")
    fixed = options.setup is not None or known.setup is not None
    tried, trial = await try_plan(plan, config, found, fixed=fixed)
    if trial.problem is not None:
        raise PreflightFailed(trial.problem)
    env = await asyncio.to_thread(RepositoryEnv.open, tried.source(config))
    backend = await open_backend(config.sandbox)
    try:
        assert isinstance(backend, KeepsPrepared)
        name = await backend.prepared_name(spec_for(env.task, limits=config.sandbox.limits))
        await Images.of(backend).derive(name, tag, timeout_s=_BUILD_S)
    finally:
        await backend.close()
