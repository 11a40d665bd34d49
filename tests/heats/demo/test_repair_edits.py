"""Edits are written and read back exactly."""

from heats.demo.edits import Edit, TrialOutcome, TriedEdits, best_of, joined, read_attempts

A = Edit("calc/a.py", 12, 8, "a < b", "a <= b")
B = Edit("b.py", 3, 1, "", 'if x == "q":\n    return\n')


def test_an_attempt_is_read_back_as_it_was_written() -> None:
    tried = TriedEdits((B, A), TrialOutcome(1, 3, broke=2))
    assert read_attempts(f"so I {tried.text}; then") == [tried]


def test_several_attempts_in_one_line_keep_their_own_results() -> None:
    line = f"in vain: {TriedEdits((A,), TrialOutcome(2, 2)).text}; {TriedEdits((B,), TrialOutcome(None)).text}"
    assert [found.outcome for found in read_attempts(line)] == [TrialOutcome(2, 2), TrialOutcome(None)]


def test_an_edit_without_a_result_has_none() -> None:
    assert read_attempts(f"chose {A.text}.") == [TriedEdits((A,), None)]


def test_cut_and_forged_texts_are_passed_over() -> None:
    assert read_attempts('calc.py:1:2 "a -> "b" x.py:3:4 "ok" -> 5') == []


def test_touching_edits_overlap_and_others_join() -> None:
    inside = Edit("calc/a.py", 12, 10, "<", ">")
    assert joined((A,), (inside,)) is None
    assert joined((A,), (B,)) == (B, A)


def test_the_best_attempt_breaks_nothing() -> None:
    broke = TriedEdits((A,), TrialOutcome(0, 3, broke=1))
    helped = TriedEdits((B,), TrialOutcome(2, 3))
    assert best_of([broke, helped]) is helped
    assert best_of([broke]) is None
