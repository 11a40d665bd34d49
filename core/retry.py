"""Trying again: one policy, on tenacity."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, retry_if_result, stop_after_attempt
from tenacity.wait import wait_base

T = TypeVar("T")


class _Doubled(wait_base):
    """`first_s` before the second attempt, doubled before each further one."""

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
    """Make attempts until one is of use.

    Args:
        attempts: at most, the first one included.
        wait_s: seconds before the second attempt; doubled before each further one.
        useless: whether a result says nothing, so that another attempt is worth it.
        passing: whether an error may pass by itself; any other is raised at once.

    Returns:
        The first useful result, else the last one.

    Raises:
        the last attempt's error.
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
