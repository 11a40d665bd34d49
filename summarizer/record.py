"""Extract the commands a trajectory ran, one `Ran` each, regardless of the agent.

A terminal shows a command's output over several steps: the command keeps running, and the output of later steps belongs
to it until something else is typed.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from agents.llm.base import ToolCall
from agents.trajectory import Observation, Step, Trajectory

_RUN_KEYS = ("command", "cmd", "text", "keystrokes", "code", "script", "input")
_TYPED_KEYS = frozenset({"text", "keystrokes"})
_ASKS_EXIT = re.compile(r"echo\b[^\n]*\$(?:\?|\{\?\})")


@dataclass(frozen=True, slots=True)
class Ran:
    """One command and its result.

    Attributes:
        steps: the step that ran it, followed by those that showed more of its output.
        status: see `Observation.status`; empty if no result was recorded.
        exit_code: None if unknown.
        typed: whether it was typed into a terminal.
    """

    steps: tuple[int, ...]
    command: str
    status: str
    exit_code: int | None
    output: str
    typed: bool = False

    @property
    def ending(self) -> str:
        """How it ended: `exit 1`, `timeout`, `rejected` ..."""
        if self.exit_code is not None:
            return f"exit {self.exit_code}"
        return self.status if self.status != "exited" else "an end that was not recorded"


def command_of(call: ToolCall) -> str:
    """The command that a tool call runs or types; its raw arguments if none of them is a known command key."""
    arguments = _arguments(call)
    if not isinstance(arguments, dict):
        return "" if arguments is None else call.arguments
    text = next((arguments[key] for key in _RUN_KEYS if isinstance(arguments.get(key), str)), None)
    if text is None:
        return call.arguments if arguments else ""
    keys = arguments.get("keys") if _TYPED_KEYS & arguments.keys() else None
    named = [f"<{key}>" for key in keys if key != "Enter"] if isinstance(keys, list) else []
    return " ".join([part for part in (str(text).rstrip("\n"), *named) if part])


def calls_of(step: Step) -> tuple[tuple[ToolCall, Observation | None], ...]:
    """Pair each tool call of a step with its result."""
    results = {observation.tool_call_id: observation for observation in step.observations}
    return tuple((call, results.get(call.id)) for call in step.tool_calls)


def ran_in(trajectory: Trajectory) -> tuple[Ran, ...]:
    """List everything that was run, in order."""
    found: list[Ran] = []
    pending, waiting = "", tuple[int, ...]()
    for step_id, call, observation in _calls(trajectory):
        arguments, command = _arguments(call), command_of(call)
        content = observation.content if observation else ""
        status, code = (observation.status, observation.exit_code) if observation else ("", None)
        if not (isinstance(arguments, dict) and _TYPED_KEYS & arguments.keys()):
            found.append(Ran((step_id,), command, status, code, content))
            continue
        before = found[-1] if found and found[-1].typed else None
        if before is not None and not pending and not _typed_text(arguments).strip():
            more = _after_echo(content, before.command)
            code = before.exit_code if code is None else code
            found[-1] = replace(
                before, steps=(*before.steps, step_id), exit_code=code, output=f"{before.output}\n{more}"
            )
            continue
        pending, waiting = pending + command, (*waiting, step_id)
        if not _entered(arguments):
            continue
        if before is not None and _ASKS_EXIT.match(pending.strip()):
            found[-1] = replace(before, steps=(*before.steps, step_id), exit_code=_number_in(content, pending))
        found.append(Ran(waiting, pending, status, code, _after_echo(content, pending), typed=True))
        pending, waiting = "", ()
    return tuple(found)


def _calls(trajectory: Trajectory) -> Iterator[tuple[int, ToolCall, Observation | None]]:
    for step in trajectory.steps:
        yield from ((step.id, call, observation) for call, observation in calls_of(step))


def _arguments(call: ToolCall) -> Any:
    try:
        return json.loads(call.arguments or "null")
    except (ValueError, RecursionError):
        return call.arguments


def _typed_text(arguments: dict[str, Any]) -> str:
    return next((str(arguments[key]) for key in ("text", "keystrokes") if key in arguments), "")


def _entered(arguments: dict[str, Any]) -> bool:
    """Whether the typed text is also submitted."""
    keys = arguments.get("keys")
    pressed = set(map(str, keys)) if isinstance(keys, list) else set[str]()
    return "\n" in _typed_text(arguments) or bool({"Enter", "C-m", "C-j"} & pressed)


def _after_echo(content: str, command: str) -> str:
    """Terminal content after the last echo of a command's first line; all of it if the echo is not visible.

    A screen may still show earlier commands, and it wraps long lines.
    """
    wanted = "".join(command.strip().split("\n")[0].split())[:60]
    places = [place for place, char in enumerate(content) if not char.isspace()]
    at = "".join(content[place] for place in places).rfind(wanted) if wanted else -1
    if at < 0:
        return content
    return content[places[at + len(wanted) - 1] + 1 :]


def _number_in(content: str, command: str) -> int | None:
    """The exit code that an `echo $?` shows."""
    numbers = re.findall(r"(?m)^\D{0,20}?(\d{1,3})\s*$", _after_echo(content, command))
    return int(numbers[0]) if numbers else None
