import pytest

from limits.bucket import TokenBucket
from limits.clock import ManualClock


@pytest.mark.parametrize("capacity", [1, 3, 7])
@pytest.mark.parametrize("quiet", [0, 1, 50, 10000])
def test_size_of_a_burst(capacity, quiet):
    clock = ManualClock()
    bucket = TokenBucket(capacity, 2, clock)
    clock.advance(quiet)
    assert sum(bucket.take() for _ in range(100)) == capacity


def test_rate_over_time():
    clock = ManualClock()
    bucket = TokenBucket(1, 1, clock)
    taken = 0
    for _ in range(40):
        taken += bucket.take()
        clock.advance(0.5)
    assert taken == 20


def test_refused_calls_cost_nothing():
    bucket = TokenBucket(2, 1, ManualClock())
    assert not bucket.take(3)
    assert bucket.take(2)
    assert not bucket.take()
