"""Classification of failures as retryable or not, and the retry policy based on it.

This module alone maps HTTP failures to this package's errors.
"""

import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from agents.errors import (
    ContextOverflow,
    LimitExceeded,
    ModelConfigError,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    ReplyInvalid,
)
from agents.llm.chat_http import ConnectError, HttpFailed, ReplyTooLarge, StatusError
from agents.llm.replies import InBandError, UnusableReply

_T = TypeVar("_T")
Kind = Literal["rate_limit", "transient", "permanent"]

_OVERFLOW = re.compile(
    r"maximum context length|context.{0,10}length exceeded|context_length_exceeded"
    r"|exceed(s|ed)? .{0,40}(context|limit of \d+ tokens)"
    r"|(prompt|input).{0,40}(too long|longer than the (model|maximum))|max_new_tokens.{0,10} must be <="
    r"|reduce the length of the (messages|prompt|input)",
    re.IGNORECASE,
)
_PASSING_STATUS = frozenset({408, 409, 423, 424, 425})
"""Client errors that may go away, so the request is retried. TGI reports a failed generation as 424."""


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """How to handle a failed request.

    Attributes:
        retry: whether to retry.
        kind: `rate_limit` also lowers concurrency; `transient` does not.
        error: raised to the caller if there is no further attempt.
        retry_after: delay requested by the server in seconds, if any.
        server_down: counts towards the endpoint's circuit breaker; the server is waited for until the deadline.
        sent: whether the server was reached and therefore counted the request.
        request_only: whether the server may be rejecting only this request rather than the model as configured.
    """

    retry: bool
    kind: Kind
    error: Exception
    retry_after: float | None = None
    server_down: bool = False
    sent: bool = True
    request_only: bool = False


def classify(error: Exception) -> RetryDecision:
    """Classify a failed request. Unknown exceptions are permanent and kept unchanged."""
    match error:
        case LimitExceeded():
            return RetryDecision(False, "permanent", error, sent=False)
        case ModelError():
            return RetryDecision(False, "permanent", error)
        case UnusableReply():
            return RetryDecision(True, "transient", ReplyInvalid(f"no usable reply: {error}"))
        case InBandError():
            status = error.code if isinstance(error.code, int) else 500
            return _by_status(status, str(error), None)
        case StatusError():
            return _by_status(error.status, _message_of(error), _retry_after(error.headers))
        case TimeoutError():
            late = ModelUnavailable("the model server did not answer in time")
            return RetryDecision(True, "transient", late, server_down=True)
        case ReplyTooLarge():
            return RetryDecision(True, "transient", ReplyInvalid(f"no usable reply: {error}"))
        case HttpFailed():
            why = " ".join(str(error).split())[:200]
            lost = ModelUnavailable(f"the connection to the model server failed: {why}")
            return RetryDecision(True, "transient", lost, server_down=True, sent=not isinstance(error, ConnectError))
    return RetryDecision(False, "permanent", error)


def _by_status(status: int, message: str, retry_after: float | None) -> RetryDecision:
    said = f"the model server answered {status}: {message[:500]}"
    if status == 429 and "insufficient_quota" not in message:
        return RetryDecision(True, "rate_limit", ModelUnavailable(said), retry_after)
    if status == 413 or (status < 500 and _OVERFLOW.search(message)):
        return RetryDecision(False, "permanent", ContextOverflow(said))
    if re.search(r"content_filter|content management policy|safety", message) and status in (400, 403):
        return RetryDecision(False, "permanent", ModelRefused(said))
    if 400 <= status < 500 and status not in _PASSING_STATUS:
        return RetryDecision(False, "permanent", ModelConfigError(said), request_only=status in (400, 415, 422))
    down = status in (502, 503, 504, 529)
    return RetryDecision(True, "transient", ModelUnavailable(said), retry_after, server_down=down)


def _message_of(error: StatusError) -> str:
    if isinstance(error.body, dict):
        return " ".join(str(error.body[key]) for key in ("message", "code") if error.body.get(key))
    return str(error)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    millis, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if millis:
            return max(0.0, float(millis) / 1000)
        return max(0.0, float(value)) if value else None
    except ValueError:
        return _seconds_until(str(value))


def _seconds_until(http_date: str) -> float | None:
    try:
        when = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


class _Stop(stop_base):
    """Stops at the deadline for a server that is down or busy, and after `max_attempts` for unusable replies."""

    def __init__(self, max_attempts: int, deadline: float) -> None:
        self.max_attempts, self.deadline = max_attempts, deadline
        self.useless = 0

    def __call__(self, state: RetryCallState) -> bool:
        decision = _decision(state)
        waits = decision.server_down or decision.kind == "rate_limit"
        self.useless += not waits
        return self.useless >= self.max_attempts or time.monotonic() >= self.deadline


class _Wait(wait_base):
    """Exponential backoff with full jitter; with `Retry-After`, that delay plus jitter against a thundering herd."""

    def __init__(self, base: float, cap: float) -> None:
        self.base, self.cap = base, cap

    def __call__(self, state: RetryCallState) -> float:
        asked = _decision(state).retry_after
        if asked is not None:
            return asked + random.uniform(0, max(3 * self.base, asked))
        return random.uniform(0.1, 1.0) * min(self.cap, self.base * 2.0 ** min(state.attempt_number, 16))


def _decision(state: RetryCallState) -> RetryDecision:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, RequestFailed)
    return error.decision


class RequestFailed(Exception):
    """A request failed; carries the decision about it to the policy."""

    def __init__(self, decision: RetryDecision) -> None:
        self.decision = decision
        super().__init__(str(decision.error))


async def persist(attempt: Callable[[], Awaitable[_T]], policy: Callable[[], AsyncRetrying]) -> _T:
    """Make attempts until the policy stops.

    The first attempt, nearly always the only one, bypasses the policy's machinery, which takes a tenth of a request's
    CPU time; if it fails, it counts as the policy's first attempt.

    Raises:
        RequestFailed: the failure of the last attempt.
    """
    failed: list[RequestFailed] = []
    try:
        return await attempt()
    except RequestFailed as error:
        failed.append(error)

    async def further() -> _T:
        if failed:
            raise failed.pop()
        return await attempt()

    return await policy()(further)


def retrying(
    *, max_attempts: int, deadline: float, base_s: float, cap_s: float, notice: Callable[[RetryDecision], None]
) -> AsyncRetrying:
    """Build the retry policy of one call, for attempts that raise `RequestFailed`.

    Args:
        max_attempts: maximum attempts after unusable replies; waiting for an unreachable or busy server is not limited.
        deadline: value of `time.monotonic()` after which no further attempt starts.
        base_s: first delay in seconds; doubles up to `cap_s`.
        cap_s: maximum delay in seconds.
        notice: called with every decision to wait.
    """
    return AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, RequestFailed) and error.decision.retry),
        stop=_Stop(max_attempts, deadline),
        wait=_Wait(base_s, cap_s),
        before_sleep=lambda state: notice(_decision(state)),
        reraise=True,
    )
