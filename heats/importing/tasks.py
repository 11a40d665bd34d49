"""Which task each attempt belongs to: what its files say, or what the user says. Nothing is assumed."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from heats.errors import UsageError
from heats.importing.attempts import Attempt, stem_of

_SHOWN = 3


class NamedBy(StrEnum):
    """Whose name is the task's id, for attempts whose files do not say it."""

    FOLDER = "folder"
    FILE = "file"


def at_tasks(
    attempts: Sequence[Attempt],
    only: Sequence[str] = (),
    named_by: NamedBy | None = None,
    *,
    nameless: bool = False,
) -> tuple[Attempt, ...]:
    """The attempts, each with its task's id, and those at other tasks than `only` left away.

    Args:
        only: ids of the tasks that are wanted; all when empty. A single one is the task of attempts that name none.
        named_by: takes the name of the folder or of the file of attempts that name none.
        nameless: attempts that name no task may lie together in one folder: then they are at one task without a name.

    Raises:
        UsageError: nothing says at which task an attempt was made.
    """
    unnamed = only[0] if len(only) == 1 else ""
    told = [one if one.instance else replace(one, instance=_name(one, named_by) or unnamed) for one in attempts]
    lost = [one for one in told if not one.instance]
    known = {one.instance for one in told if one.instance}
    places = {one.file.parent for one in lost}
    if lost and (known or only or len(places) > 1 or not nameless):
        raise UsageError(_question(lost, known, len(places)))
    return tuple(one for one in told if not only or one.instance in only)


def _name(attempt: Attempt, named_by: NamedBy | None) -> str:
    if named_by is None:
        return ""
    return attempt.file.absolute().parent.name if named_by is NamedBy.FOLDER else stem_of(attempt.file)


def _question(lost: Sequence[Attempt], known: set[str], places: int) -> str:
    named = ", ".join(one.source for one in lost[:_SHOWN]) + (" ..." if len(lost) > _SHOWN else "")
    why = f"; others are at {', '.join(sorted(known)[:_SHOWN])}" if known else ""
    why = why or (", which lie in different folders" if places > 1 else "")
    return (
        f"nothing says which task these are attempts at: {named}{why}. --task ID says it for all of them, --tasks-from "
        "folder (or file) takes the names of folders (or files) as ids"
    )
