import pytest

from backoff.call import GaveUp, call
from backoff.policy import Policy
from backoff.schedule import delays, total


@pytest.mark.parametrize("deadline", [0.5, 1, 2.5, 7, 30, 100])
def test_never_past_the_deadline(deadline):
    policy = Policy(attempts=8, deadline=deadline)
    assert total(policy) == pytest.approx(min(deadline, total(Policy(attempts=8))))
    assert all(wait > 0 for wait in delays(policy))


def test_a_deadline_of_zero_means_one_attempt():
    calls = []
    with pytest.raises(GaveUp):
        call(lambda: calls.append(1) or 1 / 0, Policy(attempts=5, deadline=0), lambda wait: None)
    assert len(calls) == 1


def test_ceiling_and_deadline():
    assert delays(Policy(attempts=9, longest=2, deadline=6)) == [1, 2, 2, 1]
