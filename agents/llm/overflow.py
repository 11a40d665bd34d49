"""Context overflows: by how much a request exceeds the context, and whether a shorter reply makes it fit."""

import re
from dataclasses import dataclass, replace

from agents.errors import ContextOverflow
from agents.llm.quirks import Quirks, without_echo
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
"""Minimum reply length in tokens; with less room, the request does not fit."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Token counts of a prompt and of the model's context; None if unknown."""

    prompt: int | None = None
    limit: int | None = None

    def room(self, wanted: int) -> int | None:
        """Return the tokens left for a reply of `wanted` tokens; None if requesting fewer would not help."""
        if self.prompt is None or self.limit is None:
            return None
        left = self.limit - self.prompt
        return left if min(_LEAST_ROOM, wanted) <= left < wanted else None

    def __str__(self) -> str:
        if self.prompt is None or self.limit is None:
            return ""
        return f"the prompt has {self.prompt} tokens, the model's context {self.limit}"


async def made_to_fit(call: Call, error: ContextOverflow, server: Server, quirks: Quirks) -> Call:
    """Shorten the reply if that makes the call fit; at most once per call.

    Args:
        call: the rejected call.
        error: the server's rejection.
        server: counts tokens, if it can.
        quirks: known limitations of the server.

    Raises:
        ContextOverflow: the prompt itself is too long; includes the excess if it is known.
    """
    body = call.body(1, server.config, quirks)
    fit = fit_in(without_echo(str(error), body))  # all rollouts learn from it
    if None in (fit.prompt, fit.limit) and not call.shortened:
        counted = await server.count_tokens(body)
        fit = Fit(*counted) if counted else fit
    quirks.context = fit.limit or quirks.context
    wanted = body.get(quirks.max_tokens_key, 0)
    room = None if call.shortened else fit.room(wanted)
    if fit == Fit() and not call.shortened and wanted >= 8 * _LEAST_ROOM:  # sizes unknown; perhaps the reply length
        room = wanted // 8
    if room is None:
        said = f"{fit} ({error})" if str(fit) else str(error)
        raise ContextOverflow(said, prompt=fit.prompt, limit=fit.limit, reply=max(wanted, _LEAST_ROOM)) from error
    return replace(call, shortened=True, grown=True, sampling=call.sampling.model_copy(update={"max_tokens": room}))


def fit_in(message: str) -> Fit:
    """Parse the sizes in an overflow error, in vLLM's or OpenAI's wording.

    vLLM stops counting at its limit and then reports `at least`; such a count is ignored.
    """
    limit, prompt = _LIMIT.search(message), _PROMPT.search(message)
    counted = prompt is not None and "at least" not in message[: prompt.start()][-20:]
    return Fit(_number(prompt) if counted else None, _number(limit))


def _number(found: re.Match[str] | None) -> int | None:
    return None if found is None else int(next(group for group in found.groups() if group))
