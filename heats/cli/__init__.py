"""The command line. Results go to stdout, progress and errors to stderr; exit codes are those of `heats.errors`."""

import sys
from importlib import metadata
from typing import Annotated

import typer
from typer.exceptions import TyperException

from heats.cli import demo, doctor, export, gc, grade, plan, propose, runs, select, serve, solve, sweep, view
from heats.cli.failures import explain
from heats.errors import ExitCode

app = typer.Typer(
    name="heats",
    help="Test-time scaling for coding agents: many rollouts, a tournament, a refinement, one verified patch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(solve.solve)
app.command()(sweep.sweep)
app.command()(select.select)
app.command()(grade.grade)
app.command()(plan.plan)
app.command()(propose.propose)
app.command()(runs.report)
app.command()(view.view)
app.command()(export.export)
app.command()(serve.serve)
app.command()(doctor.doctor)
app.command()(gc.gc)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heats {metadata.version('heats')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, then stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point: every failure is one line on stderr and an exit code."""
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        message = error.format_message()  # empty when the help was shown for want of a command
        code = _complain(ExitCode.USAGE, f"{message} (heats --help shows what there is)") if message else ExitCode.USAGE
    except SystemExit:
        raise
    except BaseException as error:  # the outermost frame: nothing may leave as a traceback
        code = _complain(*explain(error))
    sys.exit(code or 0)


def _complain(code: int, line: str) -> int:
    sys.stderr.write(f"heats: {' '.join(line.split())}\n")
    return code
