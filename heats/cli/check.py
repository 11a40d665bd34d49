"""`heats check`: find out how a repository's tests run in a sandbox, try it, and write `heats.yaml`."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from core.sanitize import for_screen
from envs import Bench, RepositoryEnv, RepositorySource
from envs.errors import SetupFailed
from heats.cli.options import spread
from heats.cli.session import print_json, say
from heats.config import HeatsConfig, load_config
from heats.environment.detect import detect
from heats.environment.project_file import NAME, ProjectFile, read_project_file, write_project_file
from heats.environment.proposal import SuggestedTests
from heats.environment.trial import Trial, known_packages, project_last, try_out
from heats.errors import PreflightFailed, UsageError
from heats.signals import run_interruptibly
from sandbox import open_backend
from sandbox.base import SetupNetwork
from sandbox.prepared import VENV

_SHOWN = 10
_LAST_LINES = 5


@dataclass(frozen=True, kw_only=True)
class CheckPlan:
    """What is tried."""

    repo: Path
    project: ProjectFile
    base: str
    setup_env: tuple[str, ...]
    test_timeout_s: float
    setup_timeout_s: float

    def source(self, config: HeatsConfig) -> RepositorySource:
        """The repository as other commands would open it."""
        workdir: dict[str, Any] = {"workdir": self.project.workdir} if self.project.workdir else {}
        return RepositorySource(
            repository=str(self.repo),
            issue="check",
            ref=self.base,
            test_command=self.project.test,
            setup=self.project.setup,
            setup_network=self.project.setup_network,
            setup_env=self.setup_env,
            image=self.project.image or config.sandbox.image or "",
            network=config.sandbox.network,
            test_timeout_s=self.test_timeout_s,
            setup_timeout_s=self.setup_timeout_s,
            **workdir,
        )


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Options of `heats check`. None keeps what `heats.yaml` says, or what is detected."""

    test: Annotated[str | None, typer.Option("--test", help="Test command, in place of the detected one.")] = None
    setup: Annotated[str | None, typer.Option("--setup", help="Set-up, in place of the detected one.")] = None
    setup_network: Annotated[
        SetupNetwork | None,
        typer.Option("--setup-network", help="Network of the set-up alone: none, bridge or host.", show_default=False),
    ] = None
    setup_env: Annotated[
        list[str] | None,
        typer.Option("--setup-env", metavar="NAME", help="Pass this variable to the set-up alone; repeat it."),
    ] = None
    image: Annotated[str | None, typer.Option("--image", help="Image that sandboxes start from.")] = None
    workdir: Annotated[str | None, typer.Option("--workdir", help="Where the tree is in the sandbox.")] = None
    base: Annotated[str, typer.Option("--base", help="Commit, branch or tag to check.")] = "HEAD"
    sandbox: Annotated[str | None, typer.Option("--sandbox", help="auto, docker or bubblewrap.")] = None
    config: Annotated[list[str] | None, typer.Option("--config", "-c", help="As for heats solve.")] = None
    test_timeout: Annotated[float, typer.Option("--test-timeout", min=1, help="Seconds for one test run.")] = 600.0
    setup_timeout: Annotated[float, typer.Option("--setup-timeout", min=1, help="Seconds for the set-up.")] = 1200.0
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is detected.")] = False
    force: Annotated[
        bool, typer.Option("--force", help="Replace a heats.yaml, and write one although most tests fail.")
    ] = False
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False


@spread
def check(
    *,
    repo: Annotated[Path, typer.Argument(help="A git repository; only its committed tree is used.")] = Path(),
    options: CheckOptions,
) -> None:
    """Find out how the tests run in a sandbox, try it, and write heats.yaml. No model is used, and nothing is spent.

    The tests run twice on the untouched tree, in a sandbox without a network. Exit codes: 0 the tests can be used, and
    heats.yaml says how; 6 they cannot, 2 wrong input.
    """
    run_check(repo, options)


def run_check(repo: Path, options: CheckOptions) -> None:
    """Do what `heats check` does.

    Raises:
        UsageError: wrong input, or nothing says how the tests run.
        PreflightFailed: the tests cannot be used.
    """
    loaded = load_config(options.config or (), {"sandbox.backend": options.sandbox})
    found, known = detect(repo, options.base), read_project_file(repo) or ProjectFile()
    plan = make_plan(repo, options, known, found)
    _show_plan(found, plan)
    if plan.project.test is None:
        raise UsageError("nothing here says how the tests run: give --test, and --setup if they need one")
    if options.dry_run:
        return
    plan, trial = run_interruptibly(
        try_plan(plan, loaded, found, fixed=options.setup is not None or known.setup is not None)
    )
    problem = trial.problem or (trial.doubt if not options.force else None)
    written = _write(plan, known, options.force) if problem is None else None
    if options.json:
        print_json(_as_json(plan, trial, problem, written))
    else:
        _show(trial, written)
    if problem is not None:
        raise PreflightFailed(problem + _advice(trial, found))


def make_plan(repo: Path, options: CheckOptions, known: ProjectFile, found: SuggestedTests) -> CheckPlan:
    """Flags go before `heats.yaml`, and that before what is detected. With an image, `heats.yaml` needs no set-up."""
    names = ("test", "setup", "setup_network", "image", "workdir")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    project = known.model_copy(update=given)
    test = project.test or found.test or None
    detected = found.setup if not known.image else ""
    setup = project.setup if project.setup is not None else detected or None
    return CheckPlan(
        repo=repo,
        project=project.model_copy(update={"test": test, "setup": setup or None}),
        base=options.base,
        setup_env=tuple(options.setup_env or ()),
        test_timeout_s=options.test_timeout,
        setup_timeout_s=options.setup_timeout,
    )


async def try_plan(
    plan: CheckPlan, config: HeatsConfig, found: SuggestedTests, *, fixed: bool
) -> tuple[CheckPlan, Trial]:
    """Try a plan; if well-known packages are missing and the set-up was detected, add them and try once more."""
    backend = await open_backend(config.sandbox)
    bench = Bench(backend=backend, limits=config.sandbox.limits, labels={"run": "check"}, rules=config.verify)
    try:
        for last in (False, True):
            env = await asyncio.to_thread(RepositoryEnv.open, plan.source(config))
            await backend.preflight([env.task.image])
            say(f"preparing with {backend.name}" if env.task.setup else f"starting with {backend.name}")
            try:
                trial = await try_out(env, backend, bench, config.sandbox.limits)
            except SetupFailed as error:
                if not last and not fixed and (setup := project_last(plan.project.setup or "", str(error))):
                    say("trying again with the project installed last, as its dependencies conflict with it")
                    plan = replace(plan, project=plan.project.model_copy(update={"setup": setup}))
                    continue
                raise SetupFailed(f"{error}{_needs_image(found, str(error))}") from None
            setup = plan.project.setup or ""
            more = known_packages(trial, setup)
            if last or fixed or not more or VENV not in setup:
                return plan, trial
            say(f"trying again with {', '.join(more)}, which the tests need")
            added = plan.project.model_copy(update={"setup": " ".join([setup, *(repr(one) for one in more)])})
            plan = replace(plan, project=added)
        raise AssertionError("unreachable")
    finally:
        await backend.close()


def _needs_image(found: SuggestedTests, error: str) -> str:
    """A hint, if the image lacks the language."""
    if found.image and "not found" in error:
        return f". The image has no {found.language}: pull {found.image} and give --image {found.image}"
    return ""


def _advice(trial: Trial, found: SuggestedTests) -> str:
    if trial.missing:
        return f". Missing in the sandbox: {', '.join(trial.missing[:_SHOWN])}; install it with --setup"
    return _needs_image(found, trial.problem or "")


def _write(plan: CheckPlan, known: ProjectFile, force: bool) -> Path | None:
    path = plan.repo / NAME
    if path.exists() and plan.project != known and not force:
        say(f"note: {path} says something else and stays as it is; --force replaces it")
        return None
    return path if path.exists() and plan.project == known else write_project_file(plan.repo, plan.project)


def _show_plan(found: SuggestedTests, plan: CheckPlan) -> None:
    say(f"found    {', '.join(found.found) or 'nothing that is known'}")
    for note in found.notes:
        say(f"note     {note}")
    say(f"test     {plan.project.test or '-'}")
    say(f"set-up   {plan.project.setup or '-'}")
    say(f"network  {plan.project.setup_network} for the set-up, none for anything else")


def _show(trial: Trial, written: Path | None) -> None:
    for note in trial.notes:
        say(f"note     {note}")
    for line in trial.reports[0].output.strip().splitlines()[-_LAST_LINES:]:
        typer.echo(f"  | {for_screen(line)[:160]}")
    times = " and ".join(f"{report.duration_s:.1f}" for report in trial.reports)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in trial.counts.items() if count)
    typer.echo(f"tests    {counts or trial.reports[0].status} in {times} s; prepared in {trial.prepare_s:.1f} s")
    for title, names in (("failing", trial.failing), ("unstable", trial.unstable), ("missing", trial.missing)):
        for name in names[:_SHOWN]:
            typer.echo(f"{title:8} {for_screen(name)}")
        if len(names) > _SHOWN:
            typer.echo(f"{title:8} and {len(names) - _SHOWN} more")
    if written is not None:
        typer.echo(f"written  {written}: `heats solve --repo {written.parent} --issue ...` uses it")


def _as_json(plan: CheckPlan, trial: Trial, problem: str | None, written: Path | None) -> dict[str, Any]:
    return {
        "usable": problem is None,
        "problem": problem,
        **plan.project.model_dump(mode="json", include={"test", "setup", "setup_network", "image", "workdir"}),
        "prepare_s": round(trial.prepare_s, 1),
        "test_s": [round(report.duration_s, 1) for report in trial.reports],
        "tests": dict(trial.counts),
        "failing": list(trial.failing),
        "unstable": list(trial.unstable),
        "missing": list(trial.missing),
        "written": str(written) if written else None,
    }
