"""`heats gc`: remove what dead runs left on the machine."""

import asyncio
from typing import Annotated

import typer

from sandbox import LeftOver, collect_garbage
from sandbox.garbage import kept_states


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    states: Annotated[
        bool, typer.Option("--states", help="Also remove end states kept as images by --keep-state.")
    ] = False,
) -> None:
    """Remove sandboxes whose owner process is dead. Sandboxes of running processes are never touched."""
    found = asyncio.run(_collect(remove=not dry_run, states=states))
    for left in found:
        state = "removed" if left.removed else "found" if dry_run else "could not be removed"
        typer.echo(f"{left.backend:10} {left.name}  {state}")
    typer.echo("1 leftover" if len(found) == 1 else f"{len(found)} leftovers", err=True)


async def _collect(*, remove: bool, states: bool) -> tuple[LeftOver, ...]:
    kept = await kept_states(remove=remove) if states else ()
    return await collect_garbage(remove=remove) + kept
