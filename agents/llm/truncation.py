"""Detects servers that silently truncate a conversation."""

from collections.abc import Sequence

from agents.errors import ContextOverflow
from agents.llm.base import Message
from agents.llm.ledger import Usage

_LEAST_GROWTH = 100
"""Number of characters that make up at least one token."""


class PromptGrowth:
    """Detects a server that silently drops part of a conversation, as some do instead of reporting an error.

    The token count of an append-only history grows with every request. It may not if a template drops earlier reasoning
    or a server does not count cached tokens; such cases are inconclusive.
    """

    def __init__(self) -> None:
        self._tokens = self._chars = self._count = 0
        self._newest: Message | None = None

    def check(self, messages: Sequence[Message], usage: Usage) -> None:
        """Compare a request with the one before it.

        Args:
            messages: the messages sent.
            usage: usage of the whole call; inconclusive if the call took several requests.

        Raises:
            ContextOverflow: the token count did not grow although the history did.
        """
        tokens, grown = usage.prompt_tokens, self._grown(messages)
        before, self._tokens = self._tokens, tokens if usage.calls == 1 else 0
        # A server that counts only uncached tokens counts at most the new ones.
        explained = tokens <= grown or tokens > before
        if usage.calls != 1 or explained or grown < _LEAST_GROWTH or _drops_reasoning(messages):
            return
        raise ContextOverflow(
            f"the server read {tokens} tokens of a conversation that had {before} before it grew by {grown} "
            "characters: it drops what does not fit its context"
        )

    def _grown(self, messages: Sequence[Message]) -> int:
        """Return the growth in characters since the last request; only the new part of an appended history is read."""
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
