"""How reports describe a judge that is swayed by candidate order or comments."""

from io import StringIO

from rich.console import Console

from heats.report.drawings import decided
from heats.report.judge_bias import judge_line
from heats.report.report import write_report
from heats.view.print_run import view_run
from tournament.base import Bracket, Match, Vote

A, B = "heat-0/rollout-00", "heat-0/rollout-01"


def match(*choices, sensitive=False):
    """A match of A and B, shown alternately as A, B and B, A."""
    votes = tuple(
        Vote(
            order=(A, B) if place % 2 == 0 else (B, A), labels=("K", "Q"), choice=one, presentation_sensitive=sensitive
        )
        for place, one in enumerate(choices)
    )
    return Match(id="r0-m0", contestants=(A, B), votes=votes, winner=A, decided_by="votes")


def bracket(*matches):
    return Bracket(selector="rtv", seed=0, group_size=2, votes_per_match=8, rounds=(matches,), ranking=(A, B))


def test_a_pair_whose_orders_name_different_ones_is_marked():
    assert decided(match(A, B, A, B)) == "4 votes, orders disagree"
    assert decided(match(A, A, A, B, A, A)) == "6 votes"
    assert decided(match(A, None)) == "1 vote, 1 abstained"


def test_the_judge_is_told_in_a_line():
    told = judge_line(bracket(match(A, B, A, B), match(A, A), match(B, A), match(A, None, sensitive=True)))
    assert told == (
        "judge: both orders agree in 1 of 3 pairs; the first shown won 1 of the other 2 (p 1); "
        "66.7 % of 9 votes went to the first shown; only votes of one order could be read in 1 match; "
        "1 abstention; 2 votes would change with comments shown"
    )
    assert judge_line(bracket()) == ""
    unheard = match(None, None).model_copy(update={"decided_by": "unheard"})
    assert judge_line(bracket(unheard)) == "judge: no vote could be read in 1 match; 2 abstentions"


def test_every_page_shows_it(make_run, tmp_path):
    run = make_run(tasks=1)
    store = run.task("demo__task-000")
    found = store.bracket(0)
    swayed = found.rounds[0][0].model_copy(update={"votes": match(A, B, sensitive=True).votes})
    store.save_bracket(0, found.model_copy(update={"rounds": ((swayed, *found.rounds[0][1:]), *found.rounds[1:])}))
    console = Console(file=StringIO(), width=200)
    view_run(run, console)
    page = write_report(run, tmp_path / "report.html").read_text("utf-8")
    for shown in (console.file.getvalue(), page):
        assert "judge: both orders agree in" in shown
        assert "orders disagree" in shown
        assert "a different choice with comments shown" in shown
