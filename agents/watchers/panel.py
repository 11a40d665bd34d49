"""All watchers of a rollout as one: whose answer counts when several have one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from agents.llm.base import ToolCall, ToolSpec
from agents.watchers import open_watchers
from agents.watchers.base import AfterTurn, AtCall, Restart, Say, Seen, Stop, Watcher


class Panel:
    """The watchers of a rollout, in the order of `agent.watchers`; false if there are none."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = tuple(watchers)
        self._by_tool = {tool.name: one for one in self._watchers for tool in getattr(one, "tools", ())}

    @classmethod
    def open(cls, names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> Self:
        """Open the watchers; see `open_watchers`."""
        return cls(open_watchers(names, options))

    def __bool__(self) -> bool:
        return bool(self._watchers)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """The tools that watchers offer to the model."""
        return tuple(tool for one in self._watchers for tool in getattr(one, "tools", ()))

    def openings(self, seen: Seen) -> list[str]:
        """What watchers add to the task."""
        return [text for one in self._watchers if (text := one.opening(seen))]

    def after_turn(self, seen: Seen) -> tuple[str, AfterTurn]:
        """Who answered, and the answer: the first stop, else the first restart, else all messages as one."""
        answers = [(one.name, answer) for one in self._watchers if (answer := one.after_turn(seen)) is not None]
        for kind in (Stop, Restart):
            for name, answer in answers:
                if isinstance(answer, kind):
                    return name, answer
        said = [(name, answer.text) for name, answer in answers if isinstance(answer, Say)]
        return ", ".join(name for name, _ in said), Say("\n\n".join(text for _, text in said)) if said else None

    def at_submission(self, seen: Seen) -> tuple[str, AtCall]:
        """The first watcher that does not accept a submission, and its answer."""
        answers = ((one.name, one.at_submission(seen)) for one in self._watchers)
        return next(((name, answer) for name, answer in answers if answer is not None), ("", None))

    def owns(self, call: ToolCall) -> bool:
        """Whether a call is one of a watcher's tool."""
        return call.name in self._by_tool

    def called(self, call: ToolCall, seen: Seen) -> tuple[str, AtCall]:
        """The watcher that a call is for, and its answer."""
        watcher = self._by_tool[call.name]
        return watcher.name, watcher.called(call, seen)

    def read(self, call: ToolCall) -> ToolCall:
        """Turn a command that a watcher reads as a call of its tool into that call."""
        try:
            given = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            return call
        text = given.get("command", given.get("text")) if isinstance(given, dict) else None
        for one in self._by_tool.values() if isinstance(text, str) else ():
            if (found := one.read(str(text))) is not None:
                return call.model_copy(update={"name": found[0], "arguments": json.dumps(found[1])})
        return call
