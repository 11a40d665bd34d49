"""`heats learn`: note in a bank what finished runs, or a repository itself, have to teach."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.llm.ledger import Ledger
from core.sanitize import one_line
from core.text import fill
from envs.repository import repository_name
from heats.bank.entry import Entry
from heats.bank.store import Bank
from heats.cli.options import TestOptions, spread
from heats.cli.session import print_config, print_json, run_session, say
from heats.cli.source import open_source
from heats.config import HeatsConfig, load_config
from heats.errors import InfrastructureFailed, UsageError
from heats.runner.learning import learn_from
from heats.runner.model_mix import main_model
from heats.signals import run_interruptibly
from heats.store.store import RunStore


@spread
def learn(
    *,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run directories whose finished tasks are noted.", show_default=False)
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option("--repo", help="Explore this git repository without an issue, and note what it needs."),
    ] = None,
    bank: Annotated[
        Path | None, typer.Option("--bank", help="The bank to write; the configuration's bank.path by default.")
    ] = None,
    writer: Annotated[
        list[str] | None,
        typer.Option("--writer", help="Kind of entries to write, such as behaviour; repeatable. --repo writes notes."),
    ] = None,
    test: Annotated[str | None, typer.Option("--test", help="With --repo: the test command, if it is known.")] = None,
    setup: Annotated[str | None, typer.Option("--setup", help="With --repo: the set-up command.")] = None,
    base: Annotated[str, typer.Option("--base", help="With --repo: commit, branch or tag.")] = "HEAD",
    options: TestOptions,
) -> None:
    """Write entries into a bank: from finished runs, or, with --repo, from a repository before any issue arrives.

    The same command resumes what was interrupted, and writes nothing twice.
    """
    if bool(runs) == (repo is not None):
        raise UsageError("give either run directories or --repo")
    if repo is None and (test is not None or setup is not None or base != "HEAD"):
        raise UsageError("--test, --setup and --base need --repo: finished runs have their own")
    given = {"bank.path": str(bank) if bank else None, "bank.writers": list(writer) if writer else None}
    config = _configuration(options, given, exploring=repo is not None)
    if options.print_config:
        print_config(config)
    if not config.bank.path:
        raise UsageError("name the bank to write: --bank FILE")
    if not config.bank.writers:
        raise UsageError("say what to write: --writer behaviour, concept, guideline, experience, routine or notes")
    main_model(config)
    learnt = _from_repository(repo, options, config, test=test, setup=setup, base=base) if repo else None
    names = learnt or _from_runs(runs or (), config)
    entries = [one for one in Bank(Path(config.bank.path)).entries().values() if _rests_on(one, names)]
    if options.json:
        print_json(
            {"bank": config.bank.path, "entries": [{"id": one.id, **one.model_dump(mode="json")} for one in entries]}
        )
        return
    for one in entries:
        typer.echo(f"{one.id}  {one_line(one.kind)}: {one_line(one.name)}")
    typer.echo(f"bank     {config.bank.path}")


def _configuration(options: TestOptions, given: dict[str, Any], *, exploring: bool) -> HeatsConfig:
    layers = list(options.config or ())
    usual = ["rollouts=1", "iterations=1", "select_k=1", "bank.writers=[notes]"] if exploring else []
    fixed: dict[str, Any] = {"evidence": False, "grade": False, "allow_passing": True, "bank.readers": []}
    return load_config([*usual, *layers], {**options.overrides(), **(fixed if exploring else {}), **given})


def _from_repository(
    repo: Path, options: TestOptions, config: HeatsConfig, *, test: str | None, setup: str | None, base: str
) -> list[str]:
    """Explore a repository; returns the run's id."""
    task = fill(config.bank.explore, repository=repository_name(str(repo)))
    env = open_source(repo, task, options, config, test=test, setup=setup, base=base)
    session = run_session("learn", options, config, env)
    result = session.results[0]
    if result.status == "error":
        raise InfrastructureFailed(result.detail)
    return [session.store.manifest.unique_id]


def _from_runs(runs: Sequence[Path], config: HeatsConfig) -> list[str]:
    """Learn from finished runs; returns their ids."""
    names = []
    for path in runs:
        ledger = Ledger("run", config.limits.run)
        names.append(RunStore(path).manifest.unique_id)
        run_interruptibly(learn_from(path, config, ledger, say))
    return names


def _rests_on(entry: Entry, runs: Sequence[str]) -> bool:
    return any(source.run in runs for source in entry.sources)
