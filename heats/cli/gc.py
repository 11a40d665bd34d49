"""`heats gc`: remove what dead runs left on the machine."""

import asyncio
from typing import Annotated

import typer

from sandbox import collect_garbage


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Remove sandboxes whose owner process is dead. Those of running processes are never touched."""
    removed = asyncio.run(collect_garbage(dry_run=dry_run))
    for name in removed:
        typer.echo(name)
    typer.echo(f"{len(removed)} left-over sandbox(es) {'found' if dry_run else 'removed'}", err=True)
