"""The repository that a command works on: from its flags, and from the `heats.yaml` that `heats check` writes."""

from pathlib import Path
from typing import Any

from core.sanitize import for_screen
from envs import RepositoryEnv, RepositorySource
from heats.cli.options import TestOptions
from heats.cli.session import say
from heats.config import HeatsConfig
from heats.environment.project_file import NAME, ProjectFile, read_project_file
from heats.errors import UsageError


def open_source(
    repo: Path,
    issue: str,
    options: TestOptions,
    config: HeatsConfig,
    *,
    test: str | None,
    setup: str | None,
    base: str,
) -> RepositoryEnv:
    """Open the repository, with flags before what its `heats.yaml` says; notes go to stderr.

    Args:
        repo: the repository.
        issue: the issue's text.
        options: the command's options.
        config: its configuration.
        test: test command, if it was given.
        setup: set-up command, if it was given.
        base: commit, branch or tag.

    Raises:
        UsageError, TaskError
    """
    project = read_project_file(repo)
    if project is not None:
        say(f"note: {NAME}: {describe(project)}; flags override it")
    known = project or ProjectFile()
    test = test if test is not None else known.test
    setup = setup if setup is not None else known.setup
    network = options.setup_network if options.setup_network is not None else known.setup_network
    if options.setup_env and not setup:
        raise UsageError("--setup-env: there is no set-up that could receive it; give one with --setup")
    given: dict[str, Any] = {"workdir": workdir} if (workdir := options.workdir or known.workdir) else {}
    env = RepositoryEnv.open(
        RepositorySource(
            repository=str(repo),
            issue=issue,
            test_command=test,
            setup=setup,
            setup_network=network,
            setup_env=tuple(options.setup_env or ()),
            image=options.image or known.image or config.sandbox.image or "",
            network=config.sandbox.network,
            ref=base,
            test_timeout_s=options.test_timeout,
            **given,
        )
    )
    for note in env.notes:
        say(f"note: {note}")
    if setup:
        say("note: the set-up runs once before the first sandbox, unless an earlier run kept its result")
    return env


def describe(project: ProjectFile) -> str:
    """What a project file says, on one line."""
    set_up = f", set-up `{project.setup}`" if project.setup else ""
    network = f" with a network ({project.setup_network})" if project.setup and project.setup_network != "none" else ""
    return for_screen(f"tests `{project.test}`{set_up}{network}")
