"""An agent that examines something in a sandbox with bash, then votes for one of several labels.

It shares the bash agent's loop: a fresh shell per command, tool calls or text, typed exits, and a trajectory saved
after every step. Only an explicit vote ends it with an answer. In its last turn it can do nothing but vote.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from agents.attempt import Finished
from agents.base import Assignment, SaveStep
from agents.bash_agent import BashAttempt
from agents.config import AgentConfig
from agents.llm.base import ChatModel, ResponseSchema, ToolCall, ToolSpec
from agents.llm.contents import answer_text
from agents.llm.ledger import Ledger
from agents.llm.structured import extract
from agents.prompting import Prompts
from agents.text_protocol import calls_in_text
from agents.tools import bash_tool, command_of
from agents.trajectory import Observation, Step, Trajectory
from core.record import Record
from sandbox.base import Sandbox

_NOT_YET = "not voted yet: look first at what the other calls of this reply did, then call vote alone"


class Choice(Record):
    """The arguments of a `vote` call."""

    reason: str
    choice: str


class InquiryAgent:
    """Examines a sandbox and votes.

    Args:
        config: limits and output lengths; `step_limit` includes the vote.
        prompts: templates `system`, `user`, `last`, `format_error` and `observation`.
        choices: the labels to choose from.
        shown: further variables of `system` and `user`.
    """

    name = "inquiry"

    def __init__(self, config: AgentConfig, prompts: Prompts, choices: Sequence[str], shown: Mapping[str, Any]) -> None:
        self.config, self.prompts, self.choices, self.shown = config, prompts, tuple(choices), dict(shown)

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Examine until a vote or a limit; see `Agent.run`.

        Args:
            assignment: identity, seed and sampling; the instruction is part of the prompts. An unfinished `resume` is
                continued.
            sandbox: runs the commands.
            model: the chat model, with or without tool calls.
            ledger: accounts for the tokens and enforces limits.
            save: called after every step.

        Raises:
            ModelConfigError: no request to the model can succeed.
            Diverged: a command of the conversation to resume ended differently.
        """
        return await _Inquiry(self, assignment, sandbox, model, ledger, save).work()


def choice_of(trajectory: Trajectory) -> Choice | None:
    """Return the vote with which an inquiry ended; None if it ended otherwise."""
    if trajectory.exit is None or trajectory.exit.kind != "submitted":
        return None
    calls = [call for step in trajectory.steps for call in step.tool_calls if call.name == "vote"]
    return Choice.model_validate_json(calls[-1].arguments) if calls else None


@dataclass
class _Inquiry(BashAttempt):
    """One inquiry."""

    watched: ClassVar[bool] = False
    agent: InquiryAgent

    def _open(self) -> None:
        agent, means = self.agent, {"text_protocol": self.in_text, "guided": self.in_text and self.forced}
        shared = {**agent.shown, **means, "labels": agent.choices, "steps": agent.config.step_limit}
        self._tell("system", agent.prompts.render("system", **shared))
        self._tell("user", agent.prompts.render("user", **shared))

    @property
    def _is_last(self) -> bool:
        return self._turns >= self.agent.config.step_limit - 1

    async def _turn(self) -> None:
        if self._is_last and self._turns and self._turns < self.agent.config.step_limit:
            self._tell("user", self.agent.prompts.render("last", labels=self.agent.choices, text_protocol=self.in_text))
        await super()._turn()

    def _means(self) -> dict[str, Any]:
        config = self.agent.config
        if self.in_text:
            schema = self._vote_schema() if self._is_last else self._turn_schema() if self.forced else None
            return {"response_schema": schema} if schema else {}
        vote = ToolSpec(name="vote", description="Vote and end the comparison; call it alone.", parameters=self._vote())
        if self._is_last:
            return {"tools": (vote,), "tool_choice": "required"}
        tools = (bash_tool(config.command_timeout_s, config.longest_command_s), vote)
        return {"tools": tools, **({"tool_choice": "required"} if self.forced else {})}

    def _vote(self) -> dict[str, Any]:
        choice = {"type": "string", "enum": list(self.agent.choices)}
        return _closed({"reason": {"type": "string", "maxLength": 4000}, "choice": choice})

    def _vote_schema(self) -> ResponseSchema:
        return ResponseSchema(name="inquiry_vote", json_schema=self._vote())

    def _turn_schema(self) -> ResponseSchema:
        choice = {"type": "string", "enum": [*self.agent.choices, ""], "description": "empty while commands are run"}
        command = {"type": "string", "maxLength": 20_000, "description": "run in a fresh bash; empty with a choice"}
        properties = {"reason": {"type": "string", "maxLength": 4000}, "command": command, "choice": choice}
        return ResponseSchema(name="inquiry_turn", json_schema=_closed(properties))

    def _calls_in_text(self, content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
        for schema in (self._turn_schema(), self._vote_schema()):
            found, _ = extract(answer_text(content), schema.json_schema)
            turn = json.loads(found) if found else {}
            if turn.get("choice"):
                arguments = json.dumps({"reason": turn["reason"], "choice": turn["choice"]})
                return (ToolCall(id=call_id, name="vote", arguments=arguments),), ""
            if turn.get("command"):
                return (ToolCall(id=call_id, name="bash", arguments=json.dumps({"command": turn["command"]})),), ""
        return calls_in_text(content, call_id)

    async def _run_calls(self, step: Step, observations: list[Observation]) -> None:
        alone = len(step.tool_calls) == 1 and not step.problems
        for call in step.tool_calls[len(observations) :]:
            self._check_time()
            if call.name == "vote":
                observations.append(self._voted(call, alone))
                if observations[-1].status != "rejected":
                    raise Finished("submitted")
            elif call.name != "bash":
                problem = f"there is no tool named {call.name[:60]!r}; the tools are bash and vote"
                observations.append(self._rejected(call, problem))
            else:
                command, problem = command_of(call)
                done = await self._execute(call.id, command) if command else self._rejected(call, problem)
                observations.append(done)

    def _voted(self, call: ToolCall, alone: bool) -> Observation:
        if not alone:
            return Observation(tool_call_id=call.id, content=_NOT_YET, status="rejected")
        try:
            choice = Choice.model_validate_json(call.arguments or "{}").choice
        except ValueError:
            choice = ""
        if choice not in self.agent.choices:
            wanted = f"vote needs the strings reason and choice; choice is one of {', '.join(self.agent.choices)}"
            return self._rejected(call, wanted)
        return Observation(tool_call_id=call.id, content="voted", exit_code=0)


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    """Build the schema of a closed object that requires all properties."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
