"""Retries with exponential backoff, built on tenacity."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, retry_if_result, stop_after_attempt
from tenacity.wait import wait_base

T = TypeVar("T")


class _Doubled(wait_base):
    """Wait `first_s` before the second attempt and twice as long before each further one."""

    def __init__(self, first_s: float) -> None:
        self.first_s = first_s

    def __call__(self, state: RetryCallState) -> float:
        return float(self.first_s * 2 ** (state.attempt_number - 1))


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    *,
    attempts: int,
    wait_s: float,
    useless: Callable[[T], bool] = lambda result: False,
    passing: Callable[[BaseException], bool] = lambda error: False,
) -> T:
    """Call `attempt` until it returns a useful result or the attempts run out.

    Args:
        attempt: makes one attempt.
        attempts: maximum number of attempts, including the first.
        wait_s: seconds before the second attempt, doubled before each further one.
        useless: whether a result warrants another attempt.
        passing: whether an error is transient; all others are raised at once.

    Returns:
        The first useful result, or the last result if none is useful.

    Raises:
        Exception: the first permanent error, or the last attempt's error.
    """
    policy = AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=_Doubled(wait_s),
        retry=retry_if_exception(passing) | retry_if_result(useless),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome is not None else None,
    )

    async def call() -> T:
        return await attempt()

    return await policy(call)
