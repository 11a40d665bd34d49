"""`heats gc`: remove what dead runs left on the machine."""

import asyncio
from typing import Annotated

import typer

from agents.kit import kits_directory, unused_kits
from sandbox import LeftOver, collect_garbage
from sandbox.garbage import kept_states, prepared_environments

UNUSED_DAYS = 30


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    states: Annotated[
        bool, typer.Option("--states", help="Also remove end states kept as images by --keep-state.")
    ] = False,
    prepared: Annotated[
        bool,
        typer.Option(
            "--prepared",
            help=f"Also remove environments and images that were used in the last {UNUSED_DAYS} days.",
        ),
    ] = False,
    agents: Annotated[
        bool,
        typer.Option("--agents", help=f"Also remove installed agents that were used in the last {UNUSED_DAYS} days."),
    ] = False,
) -> None:
    """Remove sandboxes whose owner process is dead, and prepared environments that no run has used for a month.

    So are images unpacked for bubblewrap, and agents that heats installed. Sandboxes of running processes, and what
    they run on, are never touched.
    """
    month_s = UNUSED_DAYS * 86400.0
    found = asyncio.run(_collect(remove=not dry_run, states=states, unused_s=0.0 if prepared else month_s))
    found += tuple(unused_kits(kits_directory(), unused_s=0.0 if agents else month_s, remove=not dry_run))
    for left in found:
        state = "removed" if left.removed else "found" if dry_run else "could not be removed"
        typer.echo(f"{left.backend:10} {left.name}  {state}")
    typer.echo("1 leftover" if len(found) == 1 else f"{len(found)} leftovers", err=True)


async def _collect(*, remove: bool, states: bool, unused_s: float) -> tuple[LeftOver, ...]:
    kept = await kept_states(remove=remove) if states else ()
    left = await collect_garbage(remove=remove)
    return (*left, *kept, *await prepared_environments(unused_s=unused_s, remove=remove))
