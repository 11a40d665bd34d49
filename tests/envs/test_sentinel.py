"""Sentinels in test files: their position, their names, and their outcomes."""

import random
import re

import pytest

from envs.base import TestPlace
from envs.copying import Target
from envs.sentinel import Layout, candidates, function_name, plant, targets_of
from envs.swebench.targets import targets_for

FILE = b'''import pytest


@pytest.mark.parametrize("n", [1, 2])
def test_total(n):
    """Adds."""
    assert total([n]) == n


class TestCart:
    def test_total(self):
        assert total([1]) == 1

    def test_count(self):
        assert count([1]) == 1


if __name__ == "__main__":
    pytest.main()
'''
RNG = random.Random(7)


def target(name: str, line: int | None = None, *ids: str) -> Target:
    return Target(ids or (f"t.py::{name.replace('.', '::')}",), ("t.py",), line, name)


def functions(source: bytes) -> list[str]:
    return re.findall(r"def (\w+)", source.decode())


def test_copies_stand_beside_the_test_and_one_in_its_place() -> None:
    made = plant({"t.py": FILE}, [target("TestCart.test_total")], Layout(True, (False, False)), RNG)
    names = functions(made.files["t.py"])
    assert names[:2] == ["test_total", "test_total"]
    assert len(names) == 5
    assert all(re.fullmatch(r"test_total_[a-z]+_[a-z]+", name) for name in names[2:4])
    assert [one.must_fail for one in made.sentinels].count(True) == 1
    assert made.files["t.py"].startswith(FILE[: FILE.index(b"class TestCart")])
    assert made.files["t.py"].rstrip().endswith(b"pytest.main()")


def test_copies_may_stand_beside_a_test_that_stays_as_it_is() -> None:
    made = plant({"t.py": FILE}, [target("TestCart.test_count")], Layout(None, (False,)), RNG)
    assert FILE[: FILE.index(b"\n\nif __name__")] in made.files["t.py"]
    assert len(re.findall(rb"def test_count\w*\(self\)", made.files["t.py"])) == 2
    assert [one.in_place for one in made.sentinels] == [False]


def test_a_test_is_found_by_its_line_before_its_name() -> None:
    line = FILE[: FILE.index(b"@pytest")].count(b"\n") + 1
    made = plant({"t.py": FILE}, [target("test_total", line)], Layout(True), RNG)
    assert b"class TestCart:\n    def test_total(self):\n        assert total([1]) == 1\n" in made.files["t.py"]


def test_names_and_changes_differ_every_time() -> None:
    count = [target("TestCart.test_count")]
    many = [plant({"t.py": FILE}, count, Layout(True, (True, False)), RNG).files["t.py"] for _ in range(30)]
    assert len(set(many)) == 30


def test_what_is_defined_nowhere_or_cannot_be_parsed_is_uncovered() -> None:
    lost = plant({"t.py": FILE}, [target("test_made_by_a_loop")], Layout(True), RNG)
    assert (lost.sentinels, lost.uncovered, dict(lost.files)) == ((), ("t.py::test_made_by_a_loop",), {})
    assert plant({"t.py": b"print 'old'\n"}, [target("test_total")], Layout(True), RNG).uncovered
    assert plant({}, [target("test_total")], Layout(True), RNG).uncovered


@pytest.mark.parametrize(
    ("test", "made_of"),
    [
        ("t.py::NAME[1]", "t.py::test_total[1]"),
        ("t.py::TestCart::NAME", "t.py::TestCart::test_total"),
        ("tests.t.T.NAME", "tests.t.T.test_total"),
        ("NAME (tests.t.T.NAME)", "test_total (tests.t.T.test_total)"),
        ("t.T.NAME_0_zero", "t.T.test_total_0_zero"),
    ],
)
def test_outcomes_of_copies_go_by_the_ids_of_their_tests(test: str, made_of: str) -> None:
    made = plant({"t.py": FILE}, [target("test_total")], Layout(False, (True,)), RNG)
    [beside] = [one for one in made.sentinels if not one.in_place]
    found = {test.replace("NAME", beside.name): "failed", "t.py::test_total[1]": "passed"}
    assert beside.outcomes(found) == {made_of: "failed"}  # type: ignore[arg-type]
    assert made.planted(found) == {test.replace("NAME", beside.name)}
    assert made.untouched([*found, "t.py::test_count"]) == {"t.py::test_count"}


def test_targets_are_functions_with_all_their_tests() -> None:
    places = {f"t.py::test_a[{n}]": TestPlace(file="t.py", line=4) for n in range(3)}
    found = targets_of([*places, "t.py::C::test_b"], places, RNG)
    assert [(one.name, len(one.ids), one.files, one.line) for one in found] == [
        ("test_a", 3, ("t.py",), 4),
        ("C.test_b", 1, (), None),
    ]


def test_of_many_fixed_tests_some_get_sentinels() -> None:
    places = {f"t.py::test_{n}": TestPlace(file="t.py", line=n + 1) for n in range(50)}
    assert len(targets_of(places, places, RNG)) == 12


def test_names_of_functions_by_ids() -> None:
    assert function_name("a/t.py::TestX::test_y[1::2]") == "TestX.test_y"
    assert function_name("tests.t.T.test_a") == "T.test_a"


@pytest.mark.parametrize(
    ("test", "name", "first"),
    [
        ("tests/a.py::T::test_x[1]", "T.test_x", "tests/a.py"),
        ("test_x (forms.tests.FormTest)", "FormTest.test_x", "tests/forms/tests.py"),
        ("test_x (forms.tests.FormTest.test_x)", "FormTest.test_x", "tests/forms/tests.py"),
        ("Says what it does (#123).", "Says what it does (#123).", "tests/a.py"),
        ("test_sympy", "test_sympy", "tests/a.py"),
    ],
)
def test_functions_behind_the_ids_of_a_data_set(test: str, name: str, first: str) -> None:
    [found] = targets_for([test], ["tests/a.py", "tests/forms/tests.py"], RNG)
    assert (found.name, found.files[0]) == (name, first)


def test_a_function_that_a_runner_calls_by_its_docstring_is_found_and_its_copies_are_not_called_so() -> None:
    source = FILE.replace(b"Adds.", b"Adds them up.")
    known = Target(("Adds them up.",), ("t.py",), None, "Adds them up.")
    made = plant({"t.py": source}, [known], Layout(False, (True,)), RNG)
    assert made.files["t.py"].count(b"Adds them up.") == 1
    assert not made.uncovered


@pytest.mark.parametrize(
    ("test", "path"),
    [("tests/t.py::X::a[1::2]", "tests/t.py"), ("pkg/m.py::pkg.m.f", None), ("docs/x.rst::x.rst", None),
     ("tests.t.T.test_a", "tests/t.py"), ("tests.t.T::test_a", "tests/t.py")],
)  # fmt: skip
def test_where_a_tests_file_lies(test: str, path: str | None) -> None:
    assert (candidates(test) or (None,))[0] == path
