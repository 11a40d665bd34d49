"""What one server turned out not to support, and what is sent instead."""

import re
from collections.abc import Mapping
from typing import Any

_N = re.compile(
    r"(?<![\w.])['\"`]?n['\"`]?\s*(>|=|must|is not|parameter|other than)|only one completion", re.IGNORECASE
)
_SCHEMA = re.compile(r"response_format|json_schema|guided|structured.?output|grammar", re.IGNORECASE)


_TOO_MANY = re.compile(r"max(_completion)?_tokens.{0,60}(cannot be greater|too large|at most|less than)", re.IGNORECASE)


class Quirks:
    """Starts from a server that takes everything; `learn` takes things away as the server rejects them."""

    def __init__(self) -> None:
        self.takes_n = True
        self.takes_schema = True
        self.takes_strict = True
        self.takes_required = True
        self.takes_seed = True
        self.takes_logprobs = True
        self.max_tokens_key = "max_tokens"
        self.most_tokens: int | None = None
        """Longest reply that the server lets anybody ask for."""

    def learn(self, message: str, body: Mapping[str, Any]) -> bool:
        """Look for the cause of a rejected request in the server's words; True when asking again differently may help.

        Args:
            message: the server's error text and parameter name.
            body: the rejected request.
        """
        if body.get("n", 1) > 1 and _N.search(message):
            self.takes_n = False
        elif "response_format" in body and _SCHEMA.search(message):
            self.takes_schema = False
        elif most := _most_tokens(message, body.get(self.max_tokens_key)):
            self.most_tokens = most
        elif "max_tokens" in body and re.search(
            r"(use|instead).*max_completion_tokens|max_completion_tokens.*instead", message, re.I
        ):
            self.max_tokens_key = "max_completion_tokens"
        elif self.takes_strict and body.get("tools") and re.search(r"\bstrict\b", message):
            self.takes_strict = False
        elif body.get("tool_choice") == "required" and "tool_choice" in message:
            self.takes_required = False
        elif "logprobs" in body and re.search(r"logprobs", message):
            self.takes_logprobs = False
        elif "seed" in body and re.search(r"\bseed\b", message):
            self.takes_seed = False
        else:
            return False
        return True


def _most_tokens(message: str, wanted: int | None) -> int | None:
    """The limit that a server names when it rejects a reply length for any prompt, and not for this prompt's sake."""
    if wanted is None or not _TOO_MANY.search(message) or "input tokens" in message or "messages" in message:
        return None
    return max((int(number) for number in re.findall(r"\d+", message) if 0 < int(number) < wanted), default=None)
