import pytest

from backoff.call import GaveUp, call
from backoff.policy import Policy
from backoff.schedule import delays, total


def test_waits_double():
    assert delays(Policy(attempts=4)) == [1, 2, 4]


def test_waits_have_a_ceiling():
    assert delays(Policy(attempts=4, longest=3)) == [1, 2, 3]


def test_the_last_wait_is_shortened():
    assert delays(Policy(attempts=5, deadline=10)) == [1, 2, 4, 3]


def test_nothing_after_the_deadline():
    assert delays(Policy(attempts=9, deadline=3)) == [1, 2]


def test_one_attempt_never_waits():
    assert total(Policy(attempts=1)) == 0


def test_call_gives_up():
    slept = []
    with pytest.raises(GaveUp):
        call(lambda: 1 / 0, Policy(attempts=3), slept.append)
    assert slept == [1, 2]
