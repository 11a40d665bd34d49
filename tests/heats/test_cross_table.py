"""What follows from executed tests: which count, who has a voice, who is ranked by them, and what is told of it."""

import pytest

from heats.store.cross_table import (
    AuthoredTests,
    ExistingRun,
    failures_of,
    failures_text,
    said_of,
    tabulate,
    with_cross,
)
from heats.store.records import CrossCell
from tournament.base import Candidate

P, F = "passed", "failed"


def field(*names, worse=""):
    return [
        Candidate(id=name, summary="", patch=name, patch_key=f"key-{name}", evidence_rank=int(name not in worse))
        for name in names
    ]


def table_of(names, tests, base=None, known=(), worse=""):
    """`tests`: author -> {test: who passes it}; `base`: tests that pass on the base; `worse`: who is, by the user's."""
    voices = [AuthoredTests(f"by-{author}", (author,), (f"tests/test_{author}.py",)) for author in tests]
    cells = {}
    for author, written in tests.items():
        for one in ["", *names]:
            key = f"key-{one}" if one else ""
            passing = {t for t, who in written.items() if (one in who if one else t in (base or ()))}
            outcomes = {f"tests/test_{author}.py::{t}": P if t in passing else F for t in written}
            cells[f"by-{author}", key] = CrossCell(tests=f"by-{author}", patch=key, status=F, outcomes=outcomes)
    return tabulate(field(*names, worse=worse), voices, cells, known)


def test_two_authors_whose_tests_agree_lift_those_who_pass_both():
    table = table_of("abcd", {"a": {"test_x": "ab"}, "b": {"test_y": "abc"}})
    assert table.voices == ("a", "b")
    assert table.shares == {"a": 1.0, "b": 1.0, "c": 0.5, "d": 0.0}
    assert table.ranks == {"a": 2, "b": 2, "c": 1, "d": 0}


@pytest.mark.parametrize(
    ("passing", "base"),
    [("a", False), ("", False), ("abcd", False), ("abcd", True)],
    ids=["its author alone", "nobody", "everybody", "everybody, and the base"],
)
def test_tests_that_say_nothing_rank_nobody(passing, base):
    own = {one: passing.replace("a", one) if passing == "a" else passing for one in "ab"}
    table = table_of("abcd", {one: {"test_x": own[one]} for one in "ab"}, base=("test_x",) if base else ())
    assert [row.counts for row in table.rows] == [False, False]
    assert not table.voices and not table.ranks and not table.shares


def test_a_hundred_tests_of_one_author_weigh_as_much_as_one_of_another():
    many = {f"test_{number:02}": "ab" for number in range(60)}
    table = table_of("abcd", {"a": many, "c": {"test_x": "cd"}})
    assert set(table.shares.values()) == {0.5}
    assert table.ranks == {}  # nobody is ahead


def test_one_voice_that_another_patch_bears_out_is_enough():
    table = table_of("abc", {"a": {"test_x": "ab"}})
    assert table.shares == {"a": 1.0, "b": 1.0, "c": 0.0}
    assert table.ranks == {"a": 1, "b": 1, "c": 0}


def test_a_patch_known_to_be_worse_bears_out_no_test():
    """A wrong patch bore out a test that asked for one blank too many, and so ordered two right ones."""
    voices = {"a": {"test_x": "ac"}}
    assert table_of("abc", voices).ranks == {"a": 1, "b": 0, "c": 1}
    assert table_of("abc", voices, worse="c").ranks == {}


def test_blanks_in_what_a_test_prints_are_kept():
    said = failures_text({"t::x": "AssertionError: assert 'select  a' == 'select a'\n  - two blanks"})
    assert said == "- t::x: AssertionError: assert 'select  a' == 'select a' - two blanks"


def test_a_guard_that_one_patch_breaks_counts_against_it():
    table = table_of("abc", {"a": {"test_x": "ab"}}, base=("test_x",))
    assert [row.guard for row in table.rows] == [True]
    assert table.ranks == {"a": 1, "b": 1, "c": 0}


def test_what_is_told_of_a_voice_are_numbers():
    table = table_of("abc", {"a": {"test_x": "ab"}})
    told = with_cross(field("c")[0], table)
    assert told.evidence == "Tests that 1 attempt wrote and that some patches fail: passes 0 of 1."


def test_which_tests_come_first_is_told_with_the_numbers():
    """A patch that passes 6 of 7 stood below one that passes 1 of 7, and nothing said why."""
    tests = {"test_guard": "ab", "test_1": "ac", "test_2": "ac", "test_3": "ac"}
    table = table_of("abc", {"a": tests}, base=("test_guard",))
    assert table.ranks == {"a": 2, "b": 1, "c": 0}
    said = [said_of(one, table).partition("fail: ")[2].partition(" (")[0].rstrip(".") for one in "bc"]
    words = "passes {} of 1 that pass without the change, which are compared first, and {} of 3 that fail without it"
    assert said == [words.format(1, 0), words.format(0, 3)]


def test_output_is_shown_of_tests_that_count_and_not_of_those_the_base_fails_too():
    cells = {}
    for key, passing in {"": "", "key-a": "x", "key-b": "x", "key-c": ""}.items():
        outcomes = {f"test_t.py::{one}": P if one in passing else F for one in ("x", "old")}
        words = {test: f"{test} says no" for test, outcome in outcomes.items() if outcome == F}
        cells["t", key] = CrossCell(tests="t", patch=key, outcomes=outcomes, words=words)
    table = tabulate(field("a", "b", "c"), [AuthoredTests("t", ("a",), ("test_t.py",))], cells, ())
    assert failures_of("c", table) == "- test_t.py::x: test_t.py::x says no"
    assert failures_of("a", table) == ""


def test_the_users_own_tests_are_no_authors():
    table = table_of("abc", {"a": {"test_x": "ab", "test_own": "ab"}}, known={"tests/test_a.py::test_own"})
    assert [row.test for row in table.rows] == ["tests/test_a.py::test_x"]


def test_copies_of_a_patch_bear_nobody_out():
    copies = [one.model_copy(update={"patch_key": "same"}) for one in field("a", "b")] + field("c")
    cells = {("t", key): CrossCell(tests="t", patch=key, outcomes={"test_t.py::x": P}) for key in ("same",)}
    cells |= {("t", key): CrossCell(tests="t", patch=key, outcomes={"test_t.py::x": F}) for key in ("", "key-c")}
    table = tabulate(copies, [AuthoredTests("t", ("a", "b"), ("test_t.py",))], cells, ())
    assert [row.counts for row in table.rows] == [False]


def test_a_voice_whose_tests_could_not_run_everywhere_is_left_out():
    voices = [AuthoredTests("t", ("a",), ("test_t.py",))]
    cells = {("t", ""): CrossCell(tests="t", patch="", outcomes={"test_t.py::x": F})}
    assert tabulate(field("a", "b"), voices, cells, ()).rows == ()


@pytest.mark.parametrize("base", ["error", "skipped", None])
def test_a_test_that_cannot_be_loaded_or_is_flaky_on_the_base_says_nothing(base):
    cells = {
        ("t", key): CrossCell(tests="t", patch=key, outcomes={"test_t.py::x": outcome} if outcome else {})
        for key, outcome in {"": base, "key-a": P, "key-b": P, "key-c": F}.items()
    }
    assert tabulate(field("a", "b", "c"), [AuthoredTests("t", ("a",), ("test_t.py",))], cells, ()).rows == ()


def test_ranks_never_lift_a_candidate_over_a_better_evidence_class():
    table = table_of("abcd", {"a": {"test_x": "ab"}, "b": {"test_y": "ab"}})
    best_of_low = with_cross(field("a")[0].model_copy(update={"evidence_rank": 1}), table)
    worst_of_high = with_cross(field("d")[0].model_copy(update={"evidence_rank": 2}), table)
    without_patch = with_cross(Candidate(id="e", summary="", evidence_rank=-1), table)
    worst = with_cross(field("d")[0].model_copy(update={"evidence_rank": 0}), table)
    assert worst_of_high.evidence_rank > best_of_low.evidence_rank
    assert worst.evidence_rank > without_patch.evidence_rank


STABLE = ("tests/test_own.py::test_a", "tests/test_own.py::test_b")


def existing_table(broken, words=None):
    """`broken`: candidate -> those of the project's own tests that fail with its patch."""
    cells = {
        ("own", f"key-{one}"): CrossCell(
            tests="own", patch=f"key-{one}", outcomes=dict.fromkeys(tests, F), words=words or {}
        )
        for one, tests in broken.items()
    }
    return tabulate(field(*broken), [], cells, (), ExistingRun("own", STABLE, ("tests/test_own.py",)))


def test_breaking_a_test_that_others_keep_counts_against_a_patch():
    table = existing_table({"a": (), "b": STABLE[:1], "c": STABLE})
    assert table.ranks == {"a": 2, "b": 1, "c": 0}
    assert "all 2 that pass without the change pass" in with_cross(field("a")[0], table).evidence
    assert (
        "1 of 2 that pass without the change fail (tests/test_own.py::test_a)"
        in with_cross(field("b")[0], table).evidence
    )


def test_a_test_that_every_patch_breaks_counts_against_nobody():
    table = existing_table({"a": STABLE, "b": STABLE})
    assert table.ranks == {}
    assert "no other attempt keeps them" in with_cross(field("a")[0], table).evidence


def test_existing_tests_that_did_not_run_on_every_patch_say_nothing():
    cells = {("own", "key-a"): CrossCell(tests="own", patch="key-a", outcomes={STABLE[0]: F})}
    table = tabulate(field("a", "b"), [], cells, (), ExistingRun("own", STABLE))
    assert not table.broken and not table.ranks and not table.existing


def test_patches_that_no_test_tells_apart_behave_alike():
    table = existing_table({"a": STABLE[:1], "b": STABLE[:1], "c": ()})
    behaviours = [with_cross(one, table).behaviour for one in field("a", "b", "c")]
    assert behaviours[0] == behaviours[1] != behaviours[2]


def test_who_goes_on_is_told_what_failing_tests_print():
    table = existing_table({"a": STABLE[:1], "b": ()}, words={STABLE[0]: "AssertionError: 1 != 2"})
    assert failures_of("a", table) == f"- {STABLE[0]}: AssertionError: 1 != 2"
