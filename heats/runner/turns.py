"""What the turns of a finished attempt did, for context rules that branch off one."""

import re
from collections.abc import Iterator

from agents.tools import command_of
from agents.trajectory import Step, Trajectory
from heats.context_rules.base import Turn
from summarizer.change import file_changes

_FILE = re.compile(r"[\w.-]*(?:/[\w.-]+)*\.[A-Za-z]\w{0,4}\b")
_WRITES = re.compile(
    r"(?<![0-9&>])>>?\s*(?!/dev/|&)\S|\bsed\b[^\n|;]*\s-\w*i|\bperl\b[^\n|;]*\s-\w*i|\bwrite|['\"]w['\"]|\bapply\b|\bpatch\b"
    r"|\bstr_replace\b|\b(?:mv|cp|tee|ed|ex)\s"
)


def turns_of(trajectory: Trajectory | None, patch: str) -> tuple[Turn, ...]:
    """Describe an attempt's turns, without the one that ended it; empty if no rollout can branch off it.

    That is so if the attempt started from a patch, or was not made by an agent that can repeat commands.

    Args:
        trajectory: the attempt.
        patch: its change, a diff.
    """
    if trajectory is None or trajectory.agent != "bash":
        return ()
    if trajectory.extra.get("started_from"):
        return ()
    turns = [step for step in trajectory.steps if step.source == "agent"]
    changed = [file.path for file in file_changes(patch) if file.is_source]
    found: list[Turn] = []
    files: frozenset[str] = frozenset()
    for step in turns if is_paused(trajectory) else turns[:-1]:
        texts = list(_commands(step))
        files |= {name.removeprefix("./") for text in texts for name in _FILE.findall(text)}
        edits = any(path in text and _WRITES.search(text) for text in texts for path in changed)
        found.append(Turn(files, edits, len(step.content) + len(step.reasoning or "")))
    return tuple(found)


def is_paused(trajectory: Trajectory) -> bool:
    """Whether an attempt ended because its slice was used up."""
    return trajectory.exit is not None and trajectory.exit.kind == "paused"


def _commands(step: Step) -> Iterator[str]:
    for call in step.tool_calls:
        command, _ = command_of(call)
        if command is not None:
            yield command.text
