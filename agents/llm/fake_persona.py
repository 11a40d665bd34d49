"""A deterministic scripted agent behind the fake server: runs given commands, submits, summarises and votes.

Replies depend only on the request, so a resumed run gets the same replies as an uninterrupted run.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from agents.llm.base import Completion, ToolSpec, first_seed
from agents.llm.fake import FakeModel, FakeRequest, Scripted, bash, calls, text
from agents.text_protocol import BASH_TURN
from core.record import Record


class Rule(Record):
    """Commands for the tasks whose first user message matches `when` (a regular expression).

    With `variants`, the seed of a rollout's first request selects its list of commands, so that rollouts differ.
    """

    when: str = ""
    commands: tuple[str, ...] = ()
    variants: tuple[tuple[str, ...], ...] = ()


class Script(Record):
    """A persona as a JSON file.

    Attributes:
        rules: the first rule that matches the task is played, one command per turn, followed by a submission.
        replies: fixed replies by schema name (`summary`, `vote` or any other); others are generated from the request's
            JSON schema.
        pick: enum value used in generated replies: `first`, `last`, or selected by a hash of the request and choice.
    """

    rules: tuple[Rule, ...] = (Rule(commands=("ls",)),)
    replies: Mapping[str, dict[str, Any]] = Field(default_factory=dict)
    pick: Literal["first", "last", "hash"] = "hash"
    one_seed: bool = False
    """Whether clients send the same seed in all turns of a rollout, as agents other than heats' do."""


class Persona:
    """Replies to chat requests according to a `Script`; a responder for `FakeServer`."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()

    def __call__(self, request: Mapping[str, Any]) -> Sequence[Completion]:
        """Return the request's `n` completions."""
        count = int(request.get("n") or 1)
        if request.get("response_format") and _schema_name(request) != BASH_TURN.name:
            return [self._structured(request, index) for index in range(count)]
        return [self._act(request)] * count

    def _act(self, request: Mapping[str, Any]) -> Completion:
        messages = request["messages"]
        turn = sum(message.get("role") == "assistant" for message in messages)
        seed = int(request.get("seed") or 0)
        commands = self._commands(messages, seed if self.script.one_seed else first_seed(seed, turn))
        if vote := _vote_tool(request):
            return bash(commands[turn]) if turn < len(commands) else calls(("vote", self._voted(vote, request)))
        if request.get("tools"):
            return bash(commands[turn]) if turn < len(commands) else calls(("submit", {}))
        command = commands[turn] if turn < len(commands) else "submit"
        if request.get("response_format"):
            return text(json.dumps({"thought": "", "command": command, "submit": command == "submit"}))
        return text(f"```bash\n{command}\n```")

    def _voted(self, tool: Mapping[str, Any], request: Mapping[str, Any]) -> Any:
        """Arguments of a vote that ends a judge's inquiry."""
        digest = hashlib.sha256(json.dumps([request["messages"], request.get("seed")]).encode()).digest()
        return self._example(tool, tool, int.from_bytes(digest[:8], "big"))

    def _commands(self, messages: Sequence[Mapping[str, Any]], seed: int) -> Sequence[str]:
        task = next((str(message.get("content")) for message in messages if message.get("role") == "user"), "")
        for rule in self.script.rules:
            if re.search(rule.when, task):
                return rule.variants[seed % len(rule.variants)] if rule.variants else rule.commands
        return ()

    def _structured(self, request: Mapping[str, Any], index: int) -> Completion:
        wanted = request["response_format"].get("json_schema") or {}
        fixed = self.script.replies.get(_schema_name(request))
        if fixed is not None:
            return text(json.dumps(fixed))
        digest = hashlib.sha256(json.dumps([request["messages"], request.get("seed"), index]).encode()).digest()
        schema = wanted.get("schema") or {}
        return text(json.dumps(self._example(schema, schema, int.from_bytes(digest[:8], "big"))))

    def _example(self, schema: Mapping[str, Any], root: Mapping[str, Any], salt: int) -> Any:
        """Return the simplest value that satisfies a schema; `pick` selects enum values."""
        if "$ref" in schema:
            return self._example(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root, salt)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            at = {"first": 0, "last": -1, "hash": salt % len(schema["enum"])}[self.script.pick]
            return schema["enum"][at]
        for union in ("anyOf", "oneOf", "allOf"):
            if union in schema:
                return self._example(schema[union][0], root, salt)
        match schema.get("type"):
            case "object":
                return {key: self._example(value, root, salt) for key, value in schema.get("properties", {}).items()}
            case "array":
                return [self._example(schema.get("items", {}), root, salt)] * int(schema.get("minItems", 0))
            case "integer" | "number":
                return schema.get("minimum", 0)
            case "boolean":
                return False
            case "null":
                return None
        return "scripted"[: schema.get("maxLength", 8)].ljust(schema.get("minLength", 0), ".")


def _vote_tool(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The parameters of the tool `vote`, if a request offers it."""
    for tool in request.get("tools") or ():
        spec = tool.model_dump() if isinstance(tool, ToolSpec) else tool
        spec = spec.get("function", spec) if isinstance(spec, dict) else {}
        if spec.get("name") == "vote":
            parameters: Mapping[str, Any] = spec["parameters"]
            return parameters
    return None


def _schema_name(request: Mapping[str, Any]) -> str:
    return str((request["response_format"].get("json_schema") or {}).get("name"))


class PersonaModel(FakeModel):
    """A persona as an in-process chat model, for runs without a server."""

    def __init__(self, name: str, script: Script | None = None) -> None:
        super().__init__(name=name)
        self._persona = Persona(script)

    @classmethod
    def from_file(cls, name: str, path: Path) -> "PersonaModel":
        """Load a persona from its JSON script.

        Args:
            name: name of the model.
            path: path of the script.

        Raises:
            OSError, ValueError: the file is unreadable or not a valid script.
        """
        return cls(name, Script.model_validate_json(path.read_bytes()))

    def _respond(self, request: FakeRequest) -> Scripted:
        schema = request.response_schema
        wanted = schema and {"json_schema": {"name": schema.name, "schema": schema.json_schema}}
        seed = request.sampling.request_seed() if request.sampling else None
        body = {"messages": request.messages, "tools": request.tools, "n": request.n, "seed": seed}
        return self._persona(body | ({"response_format": wanted} if wanted else {}))
