"""The watcher `decline`: a tool to say that the task cannot or need not be done, in place of a wrong patch."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from agents.llm.base import ToolCall, ToolSpec
from agents.watchers.base import AtCall, Refuse, Seen, Stop, Watcher
from core.record import Config, Record

Kind = Literal["contradictory", "not-reproducible", "done-already"]
_KINDS = get_args(Kind)
_IN_TEXT = re.compile(rf"\s*decline\s+({'|'.join(_KINDS)})\s*:\s*(\S[^\n]*)\s*", re.IGNORECASE)


class Declined(Record):
    """Arguments of the tool."""

    kind: Kind
    reason: str = Field(min_length=1)


class Decline(Watcher):
    """Offers the tool `decline`. When most attempts at a task use it, the result says that it needs a person.

    Source: Just Do It!? Computer-Use Agents Exhibit Blind Goal-Directedness, arXiv:2510.01670.
    """

    class Options(Config):
        """Settings.

        Attributes:
            after: number of commands that must have been run before a task can be declined.
            tool: description of the tool.
            text: added to the task for models without tool calls, which write `decline KIND: reason` as a command.
            too_early: answer to a call before `after` commands.
        """

        after: int = Field(1, ge=0)
        tool: str
        text: str
        too_early: str

    def __init__(self, *, options: Options) -> None:
        self.options = options
        reason = {"type": "string", "description": "what was found out, in a sentence or two, naming the evidence"}
        parameters = {
            "type": "object",
            "properties": {"kind": {"type": "string", "enum": list(_KINDS)}, "reason": reason},
            "required": ["kind", "reason"],
            "additionalProperties": False,
        }
        self.tools = (ToolSpec(name="decline", description=options.tool.strip(), parameters=parameters),)

    def opening(self, seen: Seen) -> str:
        """Describe the command, if there are no tools."""
        return self.options.text.strip() if seen.in_text else ""

    def called(self, call: ToolCall, seen: Seen) -> AtCall:
        """End the rollout, unless nothing was looked at.

        Args:
            call: the call.
            seen: the rollout.
        """
        try:
            declined = Declined.model_validate(json.loads(call.arguments or "{}"))
        except (ValueError, RecursionError, ValidationError):
            return Refuse(f"decline needs a kind ({', '.join(_KINDS)}) and a reason")
        ran = [
            one for step in seen.agent_steps for one in step.observations if one.status not in ("rejected", "refused")
        ]
        if len(ran) < self.options.after:
            return Refuse(self.options.too_early.strip())
        return Stop(f"{declined.kind}: {declined.reason}", kind="declined")

    def read(self, text: str) -> tuple[str, Mapping[str, Any]] | None:
        """Parse `decline KIND: reason`."""
        found = _IN_TEXT.fullmatch(text)
        return ("decline", {"kind": found[1].lower(), "reason": found[2].strip()}) if found else None
