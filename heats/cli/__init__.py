"""The command line. Results go to stdout, progress and errors to stderr; exit codes are those of `heats.errors`."""

import logging
import sys
from importlib import metadata
from typing import Annotated

import typer
from typer.exceptions import TyperException

from core.sanitize import for_screen
from heats.cli import (
    bank,
    calibrate,
    check,
    demo,
    doctor,
    export,
    gc,
    grade,
    image,
    learn,
    plan,
    propose,
    runs,
    select,
    serve,
    solve,
    sweep,
    view,
)
from heats.cli.failures import explain
from heats.errors import ExitCode, UsageError

app = typer.Typer(
    name="heats",
    help="Test-time scaling for coding agents: many rollouts, a tournament, a refinement, one verified patch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(check.check)
app.command()(image.image)
app.command()(solve.solve)
app.command()(sweep.sweep)
app.command()(select.select)
app.command()(grade.grade)
app.command()(plan.plan)
app.command()(calibrate.calibrate)
app.command()(propose.propose)
app.command()(runs.report)
app.command()(view.view)
app.command()(export.export)
app.command()(serve.serve)
app.command()(doctor.doctor)
app.command()(gc.gc)
app.command()(learn.learn)
app.add_typer(bank.app, name="bank")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heats {metadata.version('heats')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point: every failure ends in one line on stderr and an exit code."""
    warnings = logging.StreamHandler()
    warnings.setFormatter(CleanFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[warnings])
    try:
        _check_encoding(sys.argv[1:])
        code = app(standalone_mode=False)
        if code == ExitCode.SIGINT:  # how typer reports Ctrl-C outside of a run
            _complain(code, "stopped by SIGINT")
    except TyperException as error:
        message = error.format_message()  # empty if the help was shown because no command was given
        code = (
            _complain(ExitCode.USAGE, f"{message} (heats --help lists commands and options)")
            if message
            else ExitCode.USAGE
        )
    except SystemExit:
        raise
    except BaseException as error:  # the outermost frame: nothing may escape as a traceback
        code = _complain(*explain(error))
    sys.exit(code or 0)


def _check_encoding(arguments: list[str]) -> None:
    """Refuse arguments that are not UTF-8, since all of them are written to records."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{argument[:200]!r} is not valid UTF-8") from None


class CleanFormatter(logging.Formatter):
    """Escapes control characters in log messages, which may quote servers and daemons."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return for_screen(super().format(record))


def _complain(code: int, line: str) -> int:
    sys.stderr.write(f"heats: {' '.join(for_screen(line).split())}\n")
    return code
