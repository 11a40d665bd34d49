"""`heats bank`: look at a bank, remove entries, share it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from core.sanitize import for_screen, one_line
from heats.bank.entry import Change, Entry
from heats.bank.screening import objections
from heats.bank.store import Bank, exported
from heats.cli.session import say
from heats.errors import UsageError
from heats.store.files import write_bytes

app = typer.Typer(help="Look at a bank of notes from earlier work, remove entries, or share it.", no_args_is_help=True)

BankArgument = Annotated[Path, typer.Argument(help="The bank: a file of JSON lines.", show_default=False)]


@app.command()
def show(
    bank: BankArgument,
    entries: Annotated[
        list[str] | None, typer.Argument(help="Ids of entries; default all.", show_default=False)
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only entries of this kind.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print entries as JSON, with their ids.")] = False,
) -> None:
    """Show the entries of a bank: where they apply, what they rest on, and why some are not shown to attempts."""
    found = [one for one in _chosen(bank, entries) if kind in (None, one.kind)]
    if as_json:
        typer.echo(json.dumps([{"id": one.id, **one.model_dump(mode="json")} for one in found], indent=1))
        return
    typer.echo("\n\n".join(map(_shown, found)) or "no entries")


@app.command()
def drop(
    bank: BankArgument,
    entries: Annotated[list[str], typer.Argument(help="Ids of the entries to remove.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the bank's history.")] = "",
) -> None:
    """Remove entries. They stay in the bank's history, but are no longer read."""
    _chosen(bank, entries)
    Bank(bank).apply(lambda now: [Change(op="drop", id=one, reason=reason) for one in entries if one in now], by="drop")
    say("1 entry removed" if len(entries) == 1 else f"{len(entries)} entries removed")


@app.command()
def export(
    bank: BankArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.", show_default=False)],
    kind: Annotated[str | None, typer.Option("--kind", help="Only entries of this kind.")] = None,
) -> None:
    """Write the entries of a bank as a bank without history, one line each, to edit or share."""
    if out.exists():
        raise UsageError(f"{out} exists: choose another --out")
    found = [one for one in _chosen(bank, None) if kind in (None, one.kind)]
    write_bytes(out, exported(found), mode=0o644)
    typer.echo(out)


def _chosen(path: Path, ids: list[str] | None) -> list[Entry]:
    if not path.is_file():
        raise UsageError(f"there is no bank {path}")
    known = Bank(path).entries()
    unknown = [one for one in ids or () if one not in known]
    if unknown:
        raise UsageError(f"{path} has no entry {', '.join(unknown)}: `heats bank show {path}` lists them")
    return [known[one] for one in ids] if ids else list(known.values())


def _shown(entry: Entry) -> str:
    scope = entry.scope
    where = " ".join(
        part for part in (scope.level, scope.of, f"at {scope.commit[:12]}" if scope.commit else "") if part
    )
    lines = [f"{entry.id}  {one_line(entry.kind)}: {one_line(entry.name)}", f"  applies to  {one_line(where)}"]
    lines += [f"  cues        {one_line('; '.join(entry.cues))}"] if entry.cues else []
    if entry.sources:
        passed = f", {entry.supported} of which passed their tests" if entry.supported else ""
        lines.append(f"  rests on    {entry.support} task{'s' if entry.support > 1 else ''}{passed}")
    lines += [f"  withheld    it {'; it '.join(against)}"] if (against := objections(entry)) else []
    return "\n".join([*lines, *(f"  {line}" for line in for_screen(entry.text).splitlines())])
