"""`heats demo`: the whole method on the built-in tasks with the built-in model; no GPU, no key, no network."""

from typing import Annotated

import typer

from envs.demo import SAMPLE, DemoEnv
from heats.cli.options import RunOptions, spread
from heats.cli.session import print_config, print_json, run_session
from heats.errors import ExitCode, UsageError
from heats.report.report import write_report
from heats.report.table import RunFigures, figures_text


@spread
def demo(
    *,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", "-i", help="Run only this built-in task; repeatable.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run all built-in tasks, not just a few.")] = False,
    options: RunOptions,
) -> None:
    """Run the whole method on built-in tasks with the built-in model and report what each stage gained."""
    config = options.load({"model.name": "builtin:repair"})
    if options.print_config:
        print_config(config)
    if everything and tasks:
        raise UsageError("--all and --task exclude each other: give only one of them")
    env = DemoEnv(image=config.sandbox.image or "", only=() if everything else tuple(tasks or SAMPLE))
    session = run_session("demo", options, config, env)
    figures = RunFigures.of(session.store)
    report = write_report(session.store, session.store.directory / "report.html")
    if options.json:
        print_json({**figures.as_dict(), "run_dir": str(session.store.directory), "report": str(report)})
    else:
        typer.echo(figures_text(figures))
        typer.echo(f"\nreport   {report}")
        typer.echo(f"patches  {session.store.directory}/tasks/*/heat-*/rollout-*/patch.diff")
    failed = any(result.status == "error" for result in session.results)
    raise typer.Exit(ExitCode.INFRASTRUCTURE if failed else ExitCode.DONE)
