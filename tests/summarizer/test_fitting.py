"""What a summary request contains of a trajectory."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.trajectory import Step
from summarizer.change import code_lines
from summarizer.fitting import windows_of

EDIT = "python - <<'EOF'\n" + "\n".join(f"text = text.replace('a{i}', 'b{i}')" for i in range(60)) + "\nEOF"


def shown(kit, *steps, room=4000, window=60_000, statement=True):
    return windows_of(kit.trajectory(*steps), room, window, statement=statement)


def test_an_edit_is_whole_where_what_was_read_is_cut(kit) -> None:
    reads = [kit.ran(step, f"cat src/file_{step}.py", "line\n" * 1500) for step in range(3, 13)]
    (text,) = shown(kit, *reads, kit.ran(13, EDIT), room=6000)
    assert EDIT in text
    assert "characters omitted" in text and len(text) < 7000


def test_what_a_test_run_ends_with_is_kept(kit) -> None:
    runs = [
        kit.ran(step, "pytest", "trace\n" * 2000 + f"FAILED t.py::test_{step}\n1 failed in 0.1s", 1)
        for step in range(3, 9)
    ]
    (text,) = shown(kit, *runs)
    assert all(f"FAILED t.py::test_{step}\n1 failed in 0.1s" in text for step in range(3, 9))


def test_the_end_of_a_test_run_that_more_output_follows_is_kept(kit) -> None:
    """`2 failed, 6 passed` on the base fell into what was omitted, before a `git stash pop` and a diff."""
    output = "trace\n" * 900 + "2 failed, 6 passed in 0.3s\n" + "+ a line of a diff\n" * 900
    runs = [kit.ran(step, "git stash; pytest -q; git stash pop; git diff", output, 0) for step in range(3, 9)]
    runs[0] = kit.ran(3, "pytest -q", output.replace("2 failed", "3 failed"), 1)
    (text,) = shown(kit, *runs)
    assert "characters omitted, among them: 3 failed, 6 passed" in text
    assert "characters omitted, among them: 2 failed, 6 passed" in text


def test_the_names_of_failing_tests_are_kept(kit) -> None:
    """A summary had to say which tests failed on the base, and their names were in the part left out."""
    output = (
        "trace\n" * 900 + "FAILED t.py::test_a - no\nERROR t.py::test_b\n1 failed, 1 error in 1s\n" + "more\n" * 900
    )
    (text,) = shown(kit, *[kit.ran(step, f"pytest -q {step}", output, 1) for step in range(3, 9)])
    assert "characters omitted, among them: 1 failed, 1 error; t.py::test_a; t.py::test_b]" in text


def test_a_short_attempt_is_shown_whole(kit) -> None:
    (text,) = shown(kit, kit.ran(3, "ls", "a.py\nb.py"), kit.ran(4, EDIT), kit.ran(5, "pytest -q", "3 passed in 0.1s"))
    assert "omitted" not in text and "a.py\nb.py" in text and text.endswith("3 passed in 0.1s")


def test_a_long_step_is_not_cut_while_there_is_room(kit) -> None:
    (text,) = shown(kit, kit.ran(3, "cat big", "x" * 9000), room=20_000)
    assert "x" * 9000 in text


def test_the_task_and_what_the_attempt_was_told_of_earlier_ones_are_left_out(kit) -> None:
    first = (
        Step(id=1, source="system", content="rules"),
        Step(id=2, source="user", content="## Task ## Earlier attempts"),
    )
    steps = (*first, kit.ran(3, "ls", "a.py"), Step(id=4, source="user", content="That could not be run."))
    (text,) = shown(kit, *steps)
    assert "Earlier attempts" not in text and "That could not be run." in text
    assert "Earlier attempts" in shown(kit, *steps, statement=False)[0]


def test_an_output_that_was_shown_is_not_shown_again(kit) -> None:
    listing = "\n".join(f"src/module_{number}.py" for number in range(40))
    (text,) = shown(kit, kit.ran(3, "git ls-files", listing), kit.ran(4, "git ls-files", listing))
    assert text.count(listing) == 1 and "(the same output as in step 3)" in text


def test_lines_that_the_diff_shows_are_not_repeated_in_the_edit(kit) -> None:
    diff = "@@ -1,2 +1,4 @@\n def f(x):\n-    return x\n+    if x:\n+        return x\n+    return 0\n"
    edit = 'new = """\n  def f(x):\n      if x:\n          return x\n      return 0\n"""\nwrite(new)'
    (text,) = windows_of(kit.trajectory(kit.ran(3, edit)), 4000, 60_000, statement=True, diff=code_lines(diff))
    assert text == '[step 3] bash (exit 0): new = """\n[4 lines as in the diff]\n"""\nwrite(new)'
    tried = kit.ran(3, edit.replace("return 0", "return -1"))
    (text,) = windows_of(kit.trajectory(tried), 4000, 60_000, statement=True, diff=code_lines("+x\n\n+y"))
    assert "return -1" in text and "as in the diff" not in text


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 9000)), min_size=1, max_size=25),
    room=st.integers(500, 40_000),
    window=st.integers(3000, 60_000),
)
def test_every_step_is_in_one_window_and_no_window_is_too_large(kit, sizes, room, window) -> None:
    steps = [kit.ran(3 + at, f"run-{at}; {'y' * one}", "z" * other) for at, (one, other) in enumerate(sizes)]
    parts = shown(kit, *steps, room=room, window=window)
    assert all(len(part) <= window for part in parts)
    assert all(sum(part.count(f"run-{at};") for part in parts) == 1 for at in range(len(sizes)))
