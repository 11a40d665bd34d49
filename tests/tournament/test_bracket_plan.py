"""The tree of matches: everybody is grouped once per round, and exactly K are left."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tournament.bracket import plan_rounds
from tournament.slots import seeded_order

sizes = st.integers(1, 70)


@given(n=sizes, group=st.integers(2, 9), keep=st.integers(1, 20))
def test_every_position_plays_or_has_a_bye_in_every_round(n: int, group: int, keep: int) -> None:
    alive = n
    for groups in plan_rounds(n, group, keep):
        assert sorted(position for one in groups for position in one) == list(range(alive))
        assert all(1 <= len(one) <= group for one in groups)
        alive = len(groups)


@given(n=sizes, group=st.integers(2, 9), keep=st.integers(1, 20))
def test_no_more_than_k_are_left_and_as_many_as_groups_of_two_allow(n: int, group: int, keep: int) -> None:
    plan = plan_rounds(n, group, keep)
    assert min(keep, n // 2) <= (len(plan[-1]) if plan else n) <= keep if n > keep else not plan


@given(n=st.integers(2, 70), group=st.integers(2, 9), keep=st.integers(1, 20))
def test_one_at_most_has_a_bye_in_the_first_round(n: int, group: int, keep: int) -> None:
    """Of five candidates, three had a bye and were kept because of it, with K = 4."""
    plan = plan_rounds(n, group, keep)
    assert not plan or [len(group) for group in plan[0]].count(1) == (n % 2 if group == 2 else 0)


def test_sixteen_in_pairs_need_four_rounds_and_fifteen_matches() -> None:
    plan = plan_rounds(16, 2, 1)
    assert [len(groups) for groups in plan] == [8, 4, 2, 1]


@given(n=st.integers(3, 70))
def test_nobody_has_a_bye_twice_in_a_row(n: int) -> None:
    plan = plan_rounds(n, 2, 1)
    for before, after in pairwise(plan):
        byes = {index for index, group in enumerate(before) if len(group) == 1}
        assert not byes & {group[0] for group in after if len(group) == 1} or len(before) == 1


@pytest.mark.parametrize(("group", "keep"), [(1, 1), (2, 0)])
def test_sizes_below_their_minimum_are_refused(group: int, keep: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        plan_rounds(4, group, keep)


@given(ids=st.lists(st.text(max_size=6), unique=True, max_size=20), seed=st.integers(), rng=st.randoms())
def test_slots_depend_on_ids_and_seed_alone(ids: list[str], seed: int, rng: object) -> None:
    shuffled = list(ids)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert seeded_order(shuffled, seed) == seeded_order(ids, seed)


def test_another_seed_draws_another_order() -> None:
    ids = [f"r{i}" for i in range(16)]
    orders = {seeded_order(ids, seed) for seed in range(50)}
    assert len(orders) == 50
    assert len({order[0] for order in orders}) > 8
