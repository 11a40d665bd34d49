import pytest

from limits.bucket import TokenBucket
from limits.clock import ManualClock
from limits.registry import Registry


@pytest.fixture
def clock():
    return ManualClock()


def test_never_more_than_the_capacity(clock):
    bucket = TokenBucket(5, 1, clock)
    clock.advance(3600)
    assert not bucket.take(6)


def test_the_last_token_can_be_taken(clock):
    bucket = TokenBucket(2, 1, clock)
    assert bucket.take(2)


def test_tokens_come_back(clock):
    bucket = TokenBucket(2, 1, clock)
    bucket.take()
    bucket.take()
    clock.advance(1.5)
    assert bucket.take()


def test_waiting(clock):
    bucket = TokenBucket(3, 2, clock)
    bucket.take(2)
    assert bucket.wait_time(3) == 1.0
    assert bucket.wait_time(1) == 0.0


def test_callers_are_separate(clock):
    registry = Registry(2, 1, clock)
    assert registry.allow("a")
    assert registry.allow("b")


def test_bad_rate(clock):
    with pytest.raises(ValueError):
        TokenBucket(1, 0, clock)
