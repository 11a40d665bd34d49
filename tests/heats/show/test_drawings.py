"""Brackets, curves and time lines have legible layouts."""

from itertools import combinations, pairwise
from types import ModuleType

import pytest

from heats.report.charts import draw_chart
from heats.report.drawings import BOX_WIDTH, LABEL_HEIGHT, Period, draw_bracket, draw_timeline
from tournament.base import Bracket, Match


@pytest.mark.parametrize("entrants", [2, 3, 5, 8, 13, 16, 33])
def test_no_two_matches_overlap_and_all_are_inside(synthetic: ModuleType, entrants: int) -> None:
    ids = [f"heat-0/rollout-{number:02d}" for number in range(entrants)]
    bracket = synthetic.play(ids, 1, synthetic.Plan(), dict.fromkeys(ids, True))
    drawing = draw_bracket(bracket)
    assert len(drawing.boxes) == sum(map(len, bracket.rounds))
    for one, other in combinations(drawing.boxes, 2):
        beside = abs(one.x - other.x) >= BOX_WIDTH
        assert beside or one.y + one.height + LABEL_HEIGHT <= other.y or other.y + other.height + LABEL_HEIGHT <= one.y
    assert all(box.x + BOX_WIDTH <= drawing.width and box.y + box.height <= drawing.height for box in drawing.boxes)


def test_every_winner_but_the_last_is_linked_to_its_next_match(synthetic: ModuleType) -> None:
    ids = [f"heat-0/rollout-{number:02d}" for number in range(9)]
    bracket = synthetic.play(ids, 1, synthetic.Plan(), dict.fromkeys(ids, True))
    assert len(draw_bracket(bracket).links) == sum(map(len, bracket.rounds)) - 1


def test_groups_of_any_size_and_no_rounds_can_be_drawn() -> None:
    match = Match(id="r0-m0", contestants=("a", "b", "c", "d"), winner="c", decided_by="evidence")
    common = {"selector": "x", "seed": 0, "group_size": 4, "votes_per_match": 0}
    assert [line.winner for line in draw_bracket(Bracket(**common, rounds=((match,),))).boxes[0].lines] == [0, 0, 1, 0]
    assert draw_bracket(Bracket(**common)).boxes == ()


def test_a_curve_rises_to_the_right_of_its_start() -> None:
    chart = draw_chart([("heat 0", [0.25, 0.5, 1.0]), ("heat 1", [])])
    (curve,) = chart.curves
    assert all(left[0] < right[0] and left[1] > right[1] for left, right in pairwise(curve.dots))
    assert draw_chart([("heat 0", [])]) is None


def test_a_time_line_keeps_order_and_stays_inside() -> None:
    drawing = draw_timeline([("a", [Period("rollout", 100, 160, "x")]), ("b", [Period("rollout", 160, 160, "y")])])
    (_, _, (first,)), (_, _, (second,)) = drawing.rows
    assert first.x < second.x
    assert second.x + second.width <= drawing.width
    assert second.width >= 2
    assert [text for _, text in drawing.ticks][:2] == ["0 s", "10 s"]
    assert draw_timeline([("a", [])]) is None
