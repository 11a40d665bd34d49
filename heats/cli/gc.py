"""`heats gc`: remove what dead runs left on the machine."""

import asyncio
from typing import Annotated

import typer

from sandbox import collect_garbage


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Remove sandboxes whose owner process is dead. Those of running processes are never touched."""
    found = asyncio.run(collect_garbage(remove=not dry_run))
    for left in found:
        state = "removed" if left.removed else "found" if dry_run else "could not be removed"
        typer.echo(f"{left.backend:10} {left.name}  {state}")
    typer.echo(f"{len(found)} left-over sandbox(es)", err=True)
