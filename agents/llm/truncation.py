"""Servers that cut a conversation without a word."""

from collections.abc import Sequence

from agents.errors import ContextOverflow
from agents.llm.base import Message
from agents.llm.ledger import Usage

_LEAST_GROWTH = 100
"""Characters that surely are a token."""


class PromptGrowth:
    """Notices a server that leaves out part of a conversation without a word, as some do in place of an error.

    An append-only history has more tokens each time. Where templates drop earlier reasoning, or a server does not count
    what it had in its cache, it may not; there nothing is concluded.
    """

    def __init__(self) -> None:
        self._tokens = self._chars = self._count = 0
        self._newest: Message | None = None

    def check(self, messages: Sequence[Message], usage: Usage) -> None:
        """Compare a request with the one before it.

        Args:
            messages: what was sent.
            usage: of the whole call; one that took several requests says nothing.

        Raises:
            ContextOverflow: the server counted no more tokens although the history grew.
        """
        tokens, grown = usage.prompt_tokens, self._grown(messages)
        before, self._tokens = self._tokens, tokens if usage.calls == 1 else 0
        # A server that counts only what it did not have in its cache counts no more than what is new.
        explained = tokens <= grown or tokens > before
        if usage.calls != 1 or explained or grown < _LEAST_GROWTH or _drops_reasoning(messages):
            return
        raise ContextOverflow(
            f"the server read {tokens} tokens of a conversation that had {before} before it grew by {grown} "
            "characters: it drops what does not fit its context"
        )

    def _grown(self, messages: Sequence[Message]) -> int:
        """Characters more than in the request before; of a history that was only appended to, the new ones are read."""
        count, chars = self._count, self._chars
        if count > len(messages) or (count and messages[count - 1] is not self._newest):
            count = chars = 0
        chars += sum(len(str(message)) for message in messages[count:])
        grown = chars - self._chars
        self._count, self._chars, self._newest = len(messages), chars, messages[-1] if messages else None
        return grown


def _drops_reasoning(messages: Sequence[Message]) -> bool:
    if any(message.get("reasoning") or message.get("reasoning_content") for message in messages):
        return True
    return any("</think>" in str(message.get("content")) for message in messages if message["role"] == "assistant")
