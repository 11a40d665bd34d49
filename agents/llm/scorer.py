"""Scores of a text by a classifier, a cross-encoder or any HTTP service, as the probability that the text is good.

`classify` and `score` are vLLM's endpoints of these names. `http` is any service that answers
`{"query": ..., "text": ...}` with `{"score": p}`.
"""

import asyncio
import json
import math
import os
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from agents.errors import ModelConfigError, ModelUnavailable
from agents.llm.chat_http import ChatHttp, HttpFailed, StatusError
from agents.llm.ledger import Ledger, Usage
from core.record import Config

_RETRIED = frozenset((408, 409, 425, 429, 500, 502, 503, 504))


class ScorerConfig(Config):
    """A scoring service.

    Attributes:
        kind: how it is asked.
        url: its base URL (`http://localhost:8000`) for `classify` and `score`; the whole URL for `http`.
        model: name of the model, for `classify` and `score`.
        good: index of the class that means "good", for `classify`; -1 is the last.
        activation: what maps its scores to probabilities: `none` if they are probabilities, `sigmoid` for logits.
        api_key_env: environment variable that holds the key, if one is needed.
        timeout_s: timeout of one request in seconds.
        attempts: requests for one score before it is given up.
    """

    kind: Literal["classify", "score", "http"]
    url: str = Field(min_length=1)
    model: str = ""
    good: int = -1
    activation: Literal["none", "sigmoid"] = "none"
    api_key_env: str = ""
    timeout_s: float = Field(60.0, gt=0)
    attempts: int = Field(3, ge=1)


class HttpScorer:
    """Asks a scoring service; close it after use.

    Args:
        config: the service.
    """

    def __init__(self, config: ScorerConfig) -> None:
        self.config = config
        key = os.environ.get(config.api_key_env, "") if config.api_key_env else ""
        loopback = urlsplit(config.url).hostname in ("localhost", "127.0.0.1", "::1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = ChatHttp(config.url, headers, proxies=not loopback)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def score(self, query: str, text: str, *, ledger: Ledger) -> float:
        """Return the probability that `text` is a good answer to `query`.

        Args:
            query: the problem.
            text: the text to score.
            ledger: charged with the request and its tokens; its limits are checked first.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: the service rejects the request, or answers in another form.
            ModelUnavailable: it does not answer.
        """
        for attempt in range(self.config.attempts):
            ledger.check()
            try:
                async with asyncio.timeout(self.config.timeout_s):
                    reply = await self._http.post(self._path(), self._body(query, text))
            except StatusError as error:
                if error.status not in _RETRIED:
                    raise ModelConfigError(f"the scorer at {self.config.url} rejects the request: {error}") from error
                failure: Exception = error
            except (HttpFailed, TimeoutError) as error:
                failure = error
            else:
                return self._read(reply, ledger)
            await asyncio.sleep(0.2 * 2**attempt)
        raise ModelUnavailable(f"the scorer at {self.config.url} does not answer: {failure or 'timeout'}")

    def _path(self) -> str:
        return "" if self.config.kind == "http" else f"/{self.config.kind}"

    def _body(self, query: str, text: str) -> Mapping[str, Any]:
        match self.config.kind:
            case "classify":
                return {"model": self.config.model, "input": [f"{query}\n\n{text}"]}
            case "score":
                return {"model": self.config.model, "text_1": query, "text_2": text}
            case "http":
                return {"query": query, "text": text}

    def _read(self, reply: str, ledger: Ledger) -> float:
        try:
            found = json.loads(reply)
            tokens = (found.get("usage") or {}).get("prompt_tokens") or 0
            ledger.charge(Usage(calls=1, prompt_tokens=int(tokens)))
            match self.config.kind:
                case "classify":
                    value = float(found["data"][0]["probs"][self.config.good])
                case "score":
                    value = float(found["data"][0]["score"])
                case "http":
                    value = float(found["score"])
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            wanted = "probs of data" if self.config.kind == "classify" else "a score"
            raise ModelConfigError(
                f"the scorer at {self.config.url} answers without {wanted}: {reply[:200]}"
            ) from error
        if not math.isfinite(value):
            raise ModelConfigError(f"the scorer at {self.config.url} answers with the score {value}")
        if self.config.activation == "sigmoid":
            return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))
        return max(0.0, min(1.0, value))
