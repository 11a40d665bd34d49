"""One retry policy."""

import pytest

from core.retry import with_retries


class Attempts:
    """Returns or raises the given things in turn."""

    def __init__(self, *results: object) -> None:
        self.results = list(results)

    async def __call__(self) -> object:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def may_pass(error: BaseException) -> bool:
    return isinstance(error, OSError)


async def test_the_first_useful_result_ends_it() -> None:
    attempts = Attempts(OSError(), None, "good", "unused")
    found = await with_retries(attempts, attempts=5, wait_s=0, useless=lambda one: one is None, passing=may_pass)
    assert (found, attempts.results) == ("good", ["unused"])


async def test_the_last_useless_result_is_given_and_the_last_error_raised() -> None:
    assert await with_retries(Attempts(1, 2, 3), attempts=2, wait_s=0, useless=lambda one: True) == 2
    with pytest.raises(OSError, match="second"):
        await with_retries(Attempts(OSError("first"), OSError("second")), attempts=2, wait_s=0, passing=may_pass)


async def test_an_error_that_cannot_pass_is_raised_at_once() -> None:
    attempts = Attempts(ValueError("bug"), "unused")
    with pytest.raises(ValueError, match="bug"):
        await with_retries(attempts, attempts=5, wait_s=0, passing=may_pass)
    assert attempts.results == ["unused"]


async def test_waits_are_doubled(monkeypatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    await with_retries(Attempts(1, 2, 3, 4), attempts=4, wait_s=2, useless=lambda one: True)
    assert waits == [2, 4, 8]
