"""Assign attempts to tasks, based on their files or the user's input. Nothing is guessed."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from heats.errors import UsageError
from heats.importing.attempts import ImportedAttempt, stem_of

_SHOWN = 3


class NamedBy(StrEnum):
    """Whose name to take as the task id of attempts whose files do not name their task."""

    FOLDER = "folder"
    FILE = "file"


def at_tasks(
    attempts: Sequence[ImportedAttempt],
    only: Sequence[str] = (),
    named_by: NamedBy | None = None,
    *,
    nameless: bool = False,
) -> tuple[ImportedAttempt, ...]:
    """Give every attempt its task id, and keep those of the wanted tasks.

    Args:
        attempts: all attempts that were read.
        only: ids of the wanted tasks; empty for all. A single id also applies to attempts that name no task.
        named_by: take the name of an attempt's folder or file as its task id, if its files do not name one.
        nameless: accept attempts without a task id if all of them are in one folder and no other attempt has one.

    Raises:
        UsageError: the task of an attempt is unknown.
    """
    unnamed = only[0] if len(only) == 1 else ""
    told = [one if one.instance else replace(one, instance=_name(one, named_by) or unnamed) for one in attempts]
    lost = [one for one in told if not one.instance]
    known = {one.instance for one in told if one.instance}
    places = {one.file.parent for one in lost}
    if lost and (known or only or len(places) > 1 or not nameless):
        raise UsageError(_question(lost, known, len(places)))
    return tuple(one for one in told if not only or one.instance in only)


def _name(attempt: ImportedAttempt, named_by: NamedBy | None) -> str:
    if named_by is None:
        return ""
    return attempt.file.absolute().parent.name if named_by is NamedBy.FOLDER else stem_of(attempt.file)


def _question(lost: Sequence[ImportedAttempt], known: set[str], places: int) -> str:
    named = ", ".join(one.source for one in lost[:_SHOWN]) + (" ..." if len(lost) > _SHOWN else "")
    why = f" (others are at {', '.join(sorted(known)[:_SHOWN])})" if known else ""
    why = why or (" (they are in different folders)" if places > 1 else "")
    return (
        f"cannot tell the task of {named}{why}: give --task ID for all of them, or --tasks-from folder (or file) to "
        "use folder (or file) names as task ids"
    )
