"""Tie-breaks: in the configured order, and finally at random."""

import pytest

from tournament.base import Candidate
from tournament.fake import AlwaysFirstJudge
from tournament.slots import counted
from tournament.ties import before_votes, edits, preference, random_order

SHORT = "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-a\n-b\n+c\n+d\n"
LONG = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+" + "long " * 20 + "\n"
FIELD = [
    Candidate(id="short", summary="", patch=SHORT, patch_key="s"),
    Candidate(id="long", summary="", patch=LONG, patch_key="l"),
    Candidate(id="twin", summary="", patch=LONG, patch_key="l"),
]


@pytest.mark.parametrize(
    ("ties", "first"),
    [
        (("smaller-patch",), "short"),
        (("fewer-edits", "smaller-patch"), "long or twin"),
        (("more-copies", "smaller-patch"), "long or twin"),
        (("earlier-block", "smaller-patch", "more-copies"), "short"),
    ],
)
def test_the_first_tie_break_that_says_something_decides(ties, first):
    assert preference(counted(FIELD), 3, "r0-m0", ties)[0] in first


def test_changed_lines_are_counted_without_the_headers():
    assert [edits(one) for one in FIELD] == [4, 2, 2]


def test_removed_comments_of_sql_are_changed_lines():
    sql = "diff --git a/x.sql b/x.sql\n--- a/x.sql\n+++ b/x.sql\n@@ -1,3 +1,2 @@\n--- old\n--- older\n+++ new\n y\n"
    assert edits(Candidate(id="sql", summary="", patch=sql)) == 3


def test_who_makes_judges_refuse_gains_nothing_by_copies_or_size():
    firsts = {random_order(counted(FIELD), seed, "m")[0] for seed in range(40)}
    assert firsts == {"short", "long", "twin"}


def test_what_stands_before_the_order_of_the_votes_is_compared_before_it():
    field = counted(FIELD[:2] + FIELD[2:3])
    assert before_votes(field, ("more-copies", "earlier-block", "smaller-patch")) == {
        "short": (-1,),
        "long": (-2,),
        "twin": (-2,),
    }
    assert before_votes(field, ("smaller-patch",)) == dict.fromkeys(("short", "long", "twin"), ())


async def test_a_copy_that_comes_late_counts_as_one_that_was_there(rtv, kit):
    field = {one.id: one for one in kit.field(5, patch="p")}
    names = list(field)
    field = {name: one.model_copy(update={"patch_key": name, "patch": name * 9}) for name, one in field.items()}
    field[names[4]] = field[names[4]].model_copy(update={"patch_key": names[1], "patch": names[1] * 9})
    orders = [names, names[::-1], [names[4], *names[:4]], [names[1], names[4], *names[2:4], names[0]]]
    for seed in range(12):
        brackets = [await kit.in_order(rtv(AlwaysFirstJudge()), field, order, seed=seed) for order in orders]
        assert len({bracket.model_dump_json() for bracket in brackets}) == 1
