"""A request that does not fit the model's context: how far it is over, and whether a shorter reply makes it fit."""

import re
from dataclasses import dataclass, replace

from agents.errors import ContextOverflow
from agents.llm.quirks import Quirks
from agents.llm.requests import Call
from agents.llm.server import Server

_LIMIT = re.compile(
    r"context (?:length|window)[^.]*? (\d+) tokens|limit of (\d+) tokens|max_new_tokens.? must be <= (\d+)",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(\d+) (?:in the messages|input tokens|in the prompt|.?inputs.? tokens)|messages resulted in (\d+) tokens",
    re.IGNORECASE,
)
_LEAST_ROOM = 256
"""Tokens for a reply below which a request counts as not fitting."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Tokens of a prompt and of the model's context; None is not known."""

    prompt: int | None = None
    limit: int | None = None

    def room(self, wanted: int) -> int | None:
        """Tokens that are left for a reply that was to have `wanted`; None where asking for fewer would not help."""
        if self.prompt is None or self.limit is None:
            return None
        left = self.limit - self.prompt
        return left if min(_LEAST_ROOM, wanted) <= left < wanted else None

    def __str__(self) -> str:
        if self.prompt is None or self.limit is None:
            return ""
        return f"the prompt has {self.prompt} tokens, the model's context {self.limit}"


async def made_to_fit(call: Call, error: ContextOverflow, server: Server, quirks: Quirks) -> Call:
    """The call with a shorter reply, where that is what makes it fit; never twice for one call.

    Raises:
        ContextOverflow: the prompt itself is too long; says by how much, where anybody knows.
    """
    body, fit = call.body(1, server.config, quirks), fit_in(str(error))
    if None in (fit.prompt, fit.limit) and not call.shortened:
        counted = await server.count_tokens(body)
        fit = Fit(*counted) if counted else fit
    quirks.context = fit.limit or quirks.context
    wanted = body.get(quirks.max_tokens_key, 0)
    room = None if call.shortened else fit.room(wanted)
    if fit == Fit() and not call.shortened and wanted >= 8 * _LEAST_ROOM:  # nobody knows; it may be the reply's length
        room = wanted // 8
    if room is None:
        said = f"{fit} ({error})" if str(fit) else str(error)
        raise ContextOverflow(said, prompt=fit.prompt, limit=fit.limit, reply=max(wanted, _LEAST_ROOM)) from error
    return replace(call, shortened=True, grown=True, sampling=call.sampling.model_copy(update={"max_tokens": room}))


def fit_in(message: str) -> Fit:
    """What a server says of an overflow, in vLLM's or OpenAI's words.

    vLLM stops counting at its limit and then says `at least`: such a count is not taken.
    """
    limit, prompt = _LIMIT.search(message), _PROMPT.search(message)
    counted = prompt is not None and "at least" not in message[: prompt.start()][-20:]
    return Fit(_number(prompt) if counted else None, _number(limit))


def _number(found: re.Match[str] | None) -> int | None:
    return None if found is None else int(next(group for group in found.groups() if group))
