"""One `complete` call as asked, and the request body that a given server takes for it."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agents.llm.base import Message, ResponseSchema, Sampling, ToolSpec
from agents.llm.config import ModelConfig
from agents.llm.quirks import Quirks
from agents.llm.structured import ask_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One `complete` call.

    Attributes:
        deadline: in `time.monotonic()`.
        problems: keeps the latest reason for a retry.
        shortened: the reply was cut down once already to make the request fit.
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSpec]
    tool_choice: str
    response_schema: ResponseSchema | None
    sampling: Sampling
    deadline: float
    shortened: bool = False
    problems: deque[str] = field(default_factory=lambda: deque(maxlen=1))

    def with_seed_offset(self, offset: int) -> "Call":
        """For one of several separate requests: the same seed would give the same reply."""
        if self.sampling.seed is None or offset == 0:
            return self
        return replace(self, sampling=self.sampling.model_copy(update={"seed": self.sampling.seed + offset}))

    def body(self, n: int, config: ModelConfig, quirks: Quirks) -> dict[str, Any]:
        """The request for `n` choices as this server takes it."""
        body: dict[str, Any] = {"model": config.name, "messages": self.messages}
        for key in ("temperature", "top_p", "max_tokens"):
            value = getattr(self.sampling, key)
            value = getattr(config, key) if value is None else value
            if key == "max_tokens" and value is not None and quirks.most_tokens is not None:
                value = min(value, quirks.most_tokens)
            if value is not None:
                body[quirks.max_tokens_key if key == "max_tokens" else key] = value
        if self.sampling.seed is not None and quirks.takes_seed:
            body["seed"] = self.sampling.seed
        if self.sampling.logprobs is not None and quirks.takes_logprobs:
            body |= {"logprobs": True, "top_logprobs": self.sampling.logprobs}
        if n > 1:
            body["n"] = n
        if self.tools:
            body["tools"] = [_tool(spec, strict=quirks.takes_strict) for spec in self.tools]
            body["tool_choice"] = self.tool_choice
            if self.tool_choice == "required" and not quirks.takes_required:
                body["tool_choice"] = "auto"
        if self.response_schema is not None and quirks.takes_schema:
            named = {"name": self.response_schema.name, "schema": self.response_schema.json_schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        elif self.response_schema is not None:
            body["messages"] = ask_for(self.messages, self.response_schema)
        return body


def _tool(spec: ToolSpec, *, strict: bool) -> dict[str, Any]:
    parameters = {**spec.parameters, "additionalProperties": False} if strict else spec.parameters
    function: dict[str, Any] = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function | ({"strict": True} if strict else {})}
