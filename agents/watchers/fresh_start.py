"""The watcher `fresh-start`: a new conversation in the same sandbox after failures in a row."""

import json
from collections.abc import Sequence

from pydantic import Field

from agents.trajectory import Observation, Step
from agents.watchers.base import AfterTurn, Restart, Seen, Watcher
from core.record import Config
from core.text import cut, fill


class FreshStart(Watcher):
    """Starts a new conversation from a list of what was done, since a model that reads its own errors makes more.

    A turn has failed if all its commands did. The list is made without a model: commands and how they ended. Source:
    The Illusion of Diminishing Returns, arXiv:2509.09677.
    """

    class Options(Config):
        """Settings.

        Attributes:
            failures: failed turns in a row that start a new conversation.
            times: maximum number of new conversations.
            commands: number of commands listed, the last ones.
            chars: maximum characters of each.
            text: the message, a template; receives `commands` and `failures`.
        """

        failures: int = Field(6, ge=2)
        times: int = Field(2, ge=1)
        commands: int = Field(20, ge=1)
        chars: int = Field(300, ge=20)
        text: str

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def after_turn(self, seen: Seen) -> AfterTurn:
        """Restart after the configured number of failed turns since the last restart."""
        restarts = [place for place, step in enumerate(seen.steps) if step.restarts]
        since = seen.steps[restarts[-1] + 1 if restarts else 0 :]
        turns = [step for step in since if step.source == "agent"][-self.options.failures :]
        failed = len(turns) == self.options.failures and all(map(_failed, turns))
        if not failed or len(restarts) >= self.options.times:
            return None
        commands = [line for step in seen.agent_steps for line in self._lines(step)]
        shown: Sequence[str] = commands[-self.options.commands :]
        return Restart(fill(self.options.text, commands=shown, failures=self.options.failures).strip())

    def _lines(self, step: Step) -> list[str]:
        return [
            f"[step {step.id}] {cut(_text(call.arguments), self.options.chars)} -> {_end(observation)}"
            for call, observation in zip(step.tool_calls, step.observations, strict=False)
            if observation.status not in ("rejected", "refused")
        ]


def _failed(step: Step) -> bool:
    ran = [one for one in step.observations if one.status not in ("rejected", "refused")]
    return bool(ran) and all(one.status != "exited" or one.exit_code not in (0, None) for one in ran)


def _text(arguments: str) -> str:
    try:
        read = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = read.get("command", read.get("text")) if isinstance(read, dict) else None
    return text if isinstance(text, str) else arguments


def _end(observation: Observation) -> str:
    return f"exit code {observation.exit_code}" if observation.exit_code is not None else observation.status
