"""Concurrent calls, and a fair limiter."""

import asyncio

import pytest

from core.aio import FairLimiter, first_error, together


async def number(value: int, log: list[str] | None = None) -> int:
    try:
        await asyncio.sleep(0.01 * value)
    except asyncio.CancelledError:
        assert log is not None
        log.append(f"{value} cancelled")
        raise
    return value


async def fail() -> int:
    raise KeyError("why") from ValueError("cause")


async def test_results_come_in_the_order_of_the_calls() -> None:
    assert await together([number(2), number(0), number(1)]) == [2, 0, 1]
    assert await together([]) == []


async def test_the_first_failure_cancels_the_others_and_comes_alone() -> None:
    log: list[str] = []
    with pytest.raises(KeyError) as caught:
        await together([number(90, log), fail(), together([number(95, log)])])
    assert (sorted(log), type(caught.value.__cause__)) == (["90 cancelled", "95 cancelled"], ValueError)


def test_the_first_error_of_nested_groups_is_found() -> None:
    inner = ExceptionGroup("inner", [KeyError("a"), ValueError("b")])
    assert isinstance(first_error(ExceptionGroup("outer", [inner])), KeyError)
    assert first_error(error := OSError()) is error


async def served(limiter: FairLimiter, name: str, priority: int, order: list[str]) -> None:
    async with limiter.hold(priority):
        order.append(name)
        await asyncio.sleep(0)


async def test_who_waits_is_served_by_priority_then_first_come() -> None:
    limiter, order = FairLimiter(1), list[str]()
    line = [("a", 1), ("b", 1), ("c", 0), ("d", 2), ("e", 1)]
    async with limiter.hold():
        tasks = [asyncio.create_task(served(limiter, *one, order)) for one in line]
        await asyncio.sleep(0)
        assert limiter.waiting == 5
    await asyncio.gather(*tasks)
    assert (order, limiter.holders, limiter.peak) == (["c", "a", "b", "e", "d"], 0, 1)


async def test_a_higher_limit_lets_waiting_callers_in_and_a_lower_one_throws_nobody_out() -> None:
    limiter, order = FairLimiter(1), list[str]()
    async with limiter.hold():
        tasks = [asyncio.create_task(served(limiter, name, 0, order)) for name in "ab"]
        await asyncio.sleep(0)
        limiter.limit = 2.9
        await asyncio.sleep(0)
        assert (order, limiter.holders) == (["a"], 2)
        limiter.limit = 1
    await asyncio.gather(*tasks)
    assert (limiter.holders, limiter.free) == (0, 1)


async def test_a_place_handed_over_to_a_cancelled_caller_is_not_lost() -> None:
    limiter, order = FairLimiter(1), list[str]()
    async with limiter.hold():
        unlucky, other = (asyncio.create_task(served(limiter, name, 0, order)) for name in "ab")
        await asyncio.sleep(0)
    unlucky.cancel()
    await other
    assert (order, limiter.holders) == (["b"], 0)


async def test_a_spare_slot_is_held_only_if_one_is_free_and_is_given_back() -> None:
    limiter = FairLimiter(2)
    async with limiter.hold():
        with limiter.spare() as room, limiter.spare() as more:
            assert (room, more, limiter.holders) == (True, False, 2)
        assert limiter.free == 1
    assert limiter.peak == 2
