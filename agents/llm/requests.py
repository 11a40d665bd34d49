"""One `complete` call as asked, and the request body that a given server takes for it."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agents.llm.base import Message, ResponseSchema, Sampling, ToolSpec
from agents.llm.config import ModelConfig
from agents.llm.quirks import Quirks
from agents.llm.structured import ask_for, bounded, unbounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One `complete` call.

    Attributes:
        deadline: in `time.monotonic()`.
        problems: keeps the latest reason for a retry.
        shortened: the reply was cut down once already to make the request fit.
        retry: how often the call was asked again because its reply could not be used; each has a seed of its own.
        grown: the reply's length was worked out for this prompt and may take more than half of the context.
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSpec]
    tool_choice: str
    response_schema: ResponseSchema | None
    sampling: Sampling
    deadline: float
    shortened: bool = False
    retry: int = 0
    grown: bool = False
    problems: deque[str] = field(default_factory=lambda: deque(maxlen=1))

    def with_seed_offset(self, offset: int) -> "Call":
        """For one of several separate requests: the same seed would give the same reply."""
        if self.sampling.seed is None or offset == 0:
            return self
        return replace(self, sampling=self.sampling.model_copy(update={"seed": self.sampling.seed + offset}))

    def again(self, **changes: Any) -> "Call":
        """The call once more, since its reply could not be used."""
        return replace(self, retry=self.retry + 1, **changes)

    def reply_tokens(self, config: ModelConfig, quirks: Quirks) -> int | None:
        """Tokens that the reply may have: what is asked for, and no more than the server is known to bear."""
        wanted = config.max_tokens if self.sampling.max_tokens is None else self.sampling.max_tokens
        half = quirks.context // 2 if quirks.context and not self.grown else None
        known = [most for most in (wanted, quirks.most_tokens, half) if most is not None]
        return None if wanted is None else min(known)

    def body(self, n: int, config: ModelConfig, quirks: Quirks, retry: int = 0) -> dict[str, Any]:
        """The request for `n` choices as this server takes it.

        Args:
            n: choices of one reply.
            config: of the model.
            quirks: of its server.
            retry: besides those of the call itself.
        """
        body: dict[str, Any] = {"model": config.name, "messages": quirks.fitted(self.messages), **quirks.detection}
        for key in ("temperature", "top_p"):
            value = getattr(self.sampling, key)
            value = getattr(config, key) if value is None else value
            if value is not None:
                body[key] = value
        tokens = self.reply_tokens(config, quirks)
        if tokens is not None:
            body[quirks.max_tokens_key] = tokens
        seed = self.sampling.request_seed(self.retry + retry)
        if seed is not None and quirks.takes_seed:
            body["seed"] = seed
        if self.sampling.logprobs is not None and quirks.takes_logprobs:
            body |= {"logprobs": True, "top_logprobs": self.sampling.logprobs}
        if n > 1:
            body["n"] = n
        if self.tools:
            body["tools"] = [_tool(spec, strict=quirks.takes_strict) for spec in self.tools]
            body["tool_choice"] = self.tool_choice
            if self.tool_choice == "required" and not quirks.takes_required:
                body["tool_choice"] = "auto"
        return body if self.response_schema is None else body | self._form(self.response_schema, quirks)

    def _form(self, schema: ResponseSchema, quirks: Quirks) -> dict[str, Any]:
        """What asks for a reply of a schema: a field of the request, or words in its last message."""
        if not quirks.takes_schema:
            return {"messages": quirks.fitted(ask_for(self.messages, schema))}
        sent = bounded(schema.json_schema) if quirks.takes_bounds else unbounded(schema.json_schema)
        named = {"name": schema.name, "schema": sent, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}


def _tool(spec: ToolSpec, *, strict: bool) -> dict[str, Any]:
    parameters = {**spec.parameters, "additionalProperties": False} if strict else spec.parameters
    function: dict[str, Any] = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function | ({"strict": True} if strict else {})}
