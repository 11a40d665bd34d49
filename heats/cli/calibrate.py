"""`heats calibrate`: make the calibration file of the policy `conformal` from finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from heats.cli.session import print_json, telling
from heats.config import load_config
from heats.formatting import several
from heats.planning.early_ends import calibrated
from heats.planning.stored import stored_tasks
from heats.policies.conformal import Calibration, threshold
from heats.store.files import write_bytes

ERRORS = (0.05, 0.1, 0.2)


def calibrate(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs whose rollouts hidden tests graded.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    at_once: Annotated[int, typer.Option("--at-once", min=1, help="Attempts of a task that run at the same time.")] = 2,
    config: Annotated[
        list[str] | None,
        typer.Option("--config", "-c", help="The policy to wrap: policy.name=NAME, policy.options.KEY=VALUE."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the file as one JSON object.")] = False,
) -> None:
    """Write a calibration file for the policy `conformal` from finished, graded runs.

    The runs must have played every heat in full (-c policy.name=fixed), with the settings that the file will be used
    with. The file says how confident the policy would have been in their wrong attempts.
    """
    policy = load_config(config or ()).policy
    with telling(lambda: "still reading the runs") as tell:
        tell(f"reading {several(len(runs), 'run')}")
        tasks = [one for directory in runs for one in stored_tasks(directory)]
        found = calibrated(tasks, policy.name, policy.options, at_once)
    write_bytes(out, f"{found.model_dump_json(indent=1)}\n".encode())
    if json:
        print_json(found.model_dump(mode="json"))
        return
    for tested in (True, False):
        if any(one.tested is tested for one in found.tasks):
            typer.echo(_account(found, tested=tested))
    typer.echo(f"file     {out}")


def _account(found: Calibration, *, tested: bool) -> str:
    scores, tasks = found.scores(tested=tested), sum(one.tested is tested for one in found.tasks)
    ends = ((error, threshold(scores, error)) for error in ERRORS)
    limits = ", ".join(f"{error:.0%}: {'too few' if least is None else f'above {least:.2f}'}" for error, least in ends)
    kind = "with tests" if tested else "without tests"
    counts = f"{several(tasks, 'task')} {kind}, {len(scores)} with a wrong attempt"
    return f"{counts}; confidence that ends a task early, by error rate: {limits}"
