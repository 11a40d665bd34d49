"""One `complete` call, and its request body for a given server."""

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
        deadline: deadline in terms of `time.monotonic()`.
        problems: holds the latest reason for a retry.
        shortened: whether the reply has already been shortened to make the request fit.
        retry: number of retries after unusable replies; each uses a different seed.
        grown: whether the reply's length is computed for this prompt and may exceed half of the context.
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
        """Offset the seed for one of several separate requests, since equal seeds would give equal replies."""
        if self.sampling.seed is None or offset == 0:
            return self
        return replace(self, sampling=self.sampling.model_copy(update={"seed": self.sampling.seed + offset}))

    def again(self, **changes: Any) -> "Call":
        """Return the call for a retry after an unusable reply."""
        return replace(self, retry=self.retry + 1, **changes)

    def reply_tokens(self, config: ModelConfig, quirks: Quirks) -> int | None:
        """Return the reply's token limit: the requested one, capped at what the server is known to accept."""
        wanted = config.max_tokens if self.sampling.max_tokens is None else self.sampling.max_tokens
        half = quirks.context // 2 if quirks.context and not self.grown else None
        known = [most for most in (wanted, quirks.most_tokens, half) if most is not None]
        return None if wanted is None else min(known)

    def body(self, n: int, config: ModelConfig, quirks: Quirks, retry: int = 0) -> dict[str, Any]:
        """Build the request body for `n` choices in a form accepted by this server.

        Args:
            n: number of choices.
            config: configuration of the model.
            quirks: known limitations of the server.
            retry: number of retries in addition to the call's own.
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
        """Return the part of the request that asks for a schema: a request field, or text in the last message."""
        if not quirks.takes_schema:
            return {"messages": quirks.fitted(ask_for(self.messages, schema))}
        sent = bounded(schema.json_schema) if quirks.takes_bounds else unbounded(schema.json_schema)
        named = {"name": schema.name, "schema": sent, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}


def _tool(spec: ToolSpec, *, strict: bool) -> dict[str, Any]:
    strict = strict and not spec.foreign
    parameters = {**spec.parameters, "additionalProperties": False} if strict else spec.parameters
    function: dict[str, Any] = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function | ({"strict": True} if strict else {})}
