"""Confirmation over scripted runs: what base and patch must do again, and what each failure to do so means."""

import asyncio
import random
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from envs.base import TestOutcome
from envs.chance import SourceFiles, by_chance
from envs.confirm import (
    Confirmation,
    PlantedRun,
    Rounds,
    Subject,
    Trial,
    confirm,
    no_room,
    room_for_all,
)
from envs.copying import Target
from envs.planning import Planner, copies
from envs.sentinel import Planting, Sentinel

FILE = b"def test_a():\n    assert a() == 1\n\n\ndef test_b():\n    assert b() == 1\n"
TARGET = Target(("t.py::test_a",), ("t.py",), 1, "test_a")

Rule = Callable[[str, Sentinel | None], TestOutcome | None]
"""A test's outcome, by its name and, for a copy, its kind; None if it is not reported."""


def fixed(name: str, copy: Sentinel | None) -> TestOutcome | None:
    return "failed" if copy is not None and copy.must_fail else "passed"


def broken(name: str, copy: Sentinel | None) -> TestOutcome | None:
    return "passed" if name == "test_b" else "failed"


async def once(files: SourceFiles, planting: Planting) -> int:
    return 1


@dataclass
class Scripted:
    """A project with the tests a and b, where a is broken on the base and fixed by the patch."""

    base: Rule = broken
    patch: Rule = fixed
    source: bytes = FILE
    suspect: int = 1
    trials: list[bool] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    together: asyncio.Barrier | None = None
    """Every trial after the first waits for another one."""
    endless: asyncio.Event | None = None
    """A run of the patch after the first does not end; set once it was cancelled."""

    async def modules(self) -> Collection[str]:
        return {"t.py"}

    async def read(self, path: str) -> bytes | None:
        return self.source if path == "t.py" else None

    async def against_chance(self, files: SourceFiles, planting: Planting) -> int:
        return self.suspect

    async def run(self, plan: Planner, *, patched: bool, rounds: Rounds = once) -> Trial:
        self.trials.append(patched)
        if self.runs and self.together is not None:
            await self.together.wait()
        if self.runs and patched and self.endless is not None:
            try:
                await asyncio.Event().wait()
            finally:
                self.endless.set()
        rule = self.patch if patched else self.base
        plantings = [await plan(self)]
        plantings += [await plan(self) for _ in range(await rounds(self, plantings[0]) - 1)]
        runs = []
        for planting in plantings:
            copies = {one.name: one for one in planting.sentinels}
            ends = {
                f"t.py::{name}": rule(name, copies.get(name)) for name in dict.fromkeys(["test_a", "test_b", *copies])
            }
            runs.append(PlantedRun(planting, {test: end for test, end in ends.items() if end is not None}))
        self.runs.append(len(runs))
        return Trial(tuple(runs))


async def confirmed(trials: Scripted, seed: int = 5, extra: int = 0, **how: bool) -> Confirmation:
    """Confirm after a first run with copies beside the test, or with none; base and patch at once if there is room."""
    copied, control, room = (how.get(name, True) for name in ("copied", "control", "room"))
    rng = random.Random(seed)
    first = await trials.run(copies([TARGET], rng), patched=True) if copied else Trial()
    trials.trials.clear()
    subject = Subject(
        targets=[TARGET], fixed=TARGET.ids, kept=["t.py::test_b"], first=first, control=control, extra=extra
    )
    return await confirm(trials, subject, rng, room_for_all if room else no_room)


async def test_a_fix_is_confirmed_by_one_more_run_of_each() -> None:
    trials = Scripted()
    assert await confirmed(trials) == Confirmation()
    assert trials.trials == [False, True, True]


async def test_without_room_for_a_second_sandbox_the_base_runs_before_the_patch() -> None:
    for room in (False, True):
        trials = Scripted(suspect=3)
        trials.together = asyncio.Barrier(3) if room else None
        assert await confirmed(trials, room=room) == Confirmation()
        assert (trials.trials, sorted(trials.runs[1:])) == ([False, True, True], [1, 3, 3])


async def test_the_patch_is_stopped_once_the_base_speaks_against_it() -> None:
    trials = Scripted(base=lambda name, copy: "passed")
    trials.endless = asyncio.Event()
    assert "the base also passes in some runs" in (await confirmed(trials)).refused
    assert trials.endless.is_set()


async def test_what_passes_on_the_base_once_more_is_refused() -> None:
    chance = random.Random(1)
    found = await confirmed(Scripted(base=lambda name, copy: "passed" if chance.random() < 0.5 else "failed"))
    assert "the base also passes in some runs" in found.refused
    assert not found.forged


async def test_results_that_always_pass_are_forged() -> None:
    found = await confirmed(Scripted(patch=lambda name, copy: "passed"))
    assert (found.forged, "that expects something else was reported as passed" in found.refused) == (True, True)


async def test_an_answer_is_not_confirmed_where_all_copies_agree_on_it() -> None:
    """Such as one read from the tests if they agree, as unchanged copies do; it is no answer if they do not."""

    class Agreeing(Scripted):
        async def run(self, plan: Planner, *, patched: bool, rounds: Rounds = once) -> Trial:
            trial = await super().run(plan, patched=patched, rounds=rounds)
            answers = [set(re.findall(rb"a\(\) == (\S+)", run.planting.files["t.py"])) for run in trial.runs]
            if not patched:
                return trial
            runs = zip(trial.runs, answers, strict=True)
            return Trial(tuple(replace(run, tests=dict.fromkeys(run.tests, _end(all_))) for run, all_ in runs))

    def _end(answers: set[bytes]) -> TestOutcome:
        return "passed" if len(answers) == 1 else "failed"

    for seed in range(8):
        assert (await confirmed(Agreeing(), seed=seed)).forged


async def test_an_answer_up_to_the_sign_is_refused_whichever_change_comes_first() -> None:
    """With one changed test per sandbox, two of four changes were tried, and half of the time neither was the sign."""

    class UpToTheSign(Scripted):
        async def run(self, plan: Planner, *, patched: bool, rounds: Rounds = once) -> Trial:
            trial = await super().run(plan, patched=patched, rounds=once)  # as a data set's own script runs
            (run,) = trial.runs
            expected = re.findall(rb"def (\w+)\(\):\n(?:.*\n)*?    assert \w\(\) == (\S+)", run.planting.files["t.py"])
            ends = {f"t.py::{name.decode()}": _end(int(value)) for name, value in expected}
            return Trial((replace(run, tests=ends),))

    def _end(value: int) -> TestOutcome:
        return "passed" if abs(value) == 1 else "failed"

    for seed in range(16):
        assert (await confirmed(UpToTheSign(), seed=seed, copied=False, control=False, extra=4)).forged


async def test_extra_copies_that_the_command_does_not_run_are_ignored() -> None:
    def only_originals(name: str, copy: Sentinel | None) -> TestOutcome | None:
        return fixed(name, copy) if name in ("test_a", "test_b") else None

    found = await confirmed(Scripted(patch=only_originals), copied=False, control=False, extra=4)
    assert found == Confirmation()


async def test_changed_copies_are_as_many_as_unchanged_ones_and_look_like_them() -> None:
    texts: list[bytes] = []

    class Watching(Scripted):
        async def run(self, plan: Planner, *, patched: bool, rounds: Rounds = once) -> Trial:
            trial = await super().run(plan, patched=patched, rounds=rounds)
            texts.extend(run.planting.files["t.py"] for run in trial.runs if patched)
            return trial

    await confirmed(Watching())
    shapes = {re.sub(rb"== \S+|= \d+|def \w+|[a-k]\w{5}(?= =)", b"", text) for text in texts}
    assert len(texts) == 3
    assert len(shapes) == 1


async def test_results_forged_by_name_are_seen() -> None:
    def by_name(name: str, copy: Sentinel | None) -> TestOutcome | None:
        return "passed" if name in ("test_a", "test_b") else "failed"

    for seed in range(8):
        assert (await confirmed(Scripted(patch=by_name), seed=seed)).forged


async def test_results_that_leave_out_what_they_do_not_know_are_forged() -> None:
    found = await confirmed(Scripted(patch=lambda name, copy: "passed" if name in ("test_a", "test_b") else None))
    assert (found.forged, found.refused) == (True, "planted tests were not reported in t.py")


async def test_a_fix_of_the_tests_own_text_is_not_confirmed() -> None:
    found = await confirmed(Scripted(patch=lambda name, copy: "failed" if copy else "passed"))
    assert found.weak == ("the fix only works for the tests exactly as written: copies of t.py::test_a fail",)


async def test_copies_that_cannot_run_beside_their_test_run_in_its_place() -> None:
    """Such as copies of a test that registers something under a name, once per process."""
    trials = Scripted(patch=lambda name, copy: "failed" if copy and not copy.in_place else fixed(name, copy))
    assert await confirmed(trials) == Confirmation()
    assert trials.trials == [False, True, True, True]


def selected(rule: Rule) -> Rule:
    """The same if the command runs only the tests that it names."""
    return lambda name, copy: rule(name, copy) if name in ("test_a", "test_b") else None


async def test_a_command_that_names_its_tests_runs_sentinels_in_their_place() -> None:
    trials = Scripted(base=selected(broken), patch=selected(fixed))
    assert await confirmed(trials) == Confirmation()
    assert trials.trials == [False, True, True, True]


async def test_forged_results_are_seen_where_the_command_names_its_tests() -> None:
    trials = Scripted(base=selected(broken), patch=selected(lambda name, copy: "passed"))
    assert (await confirmed(trials)).forged


async def test_a_test_that_breaks_in_every_further_run_is_refused_and_one_that_breaks_once_is_not() -> None:
    def breaks(name: str, copy: Sentinel | None) -> TestOutcome | None:
        return "failed" if name == "test_b" else fixed(name, copy)

    found = await confirmed(Scripted(patch=breaks))
    assert found.refused == "a second run gave other results: t.py::test_b"
    trials = Scripted()
    trials.patch = lambda name, copy: "failed" if name == "test_b" and len(trials.trials) < 3 else fixed(name, copy)
    assert await confirmed(trials) == Confirmation()


async def test_no_sentinels_no_confirmation() -> None:
    found = await confirmed(Scripted(source=b"print 'old'\n"))
    assert found.weak == ("could not create sentinel tests from t.py::test_a",)


async def test_what_did_not_run_again_on_the_base_is_not_confirmed() -> None:
    found = await confirmed(Scripted(base=lambda name, copy: None))
    assert found.weak == ("did not fail again on the base: t.py::test_a",)


async def test_without_a_control_and_copies_in_the_first_run_sentinels_stand_in_place() -> None:
    trials = Scripted()
    assert await confirmed(trials, copied=False, control=False) == Confirmation()
    assert trials.trials == [True, True, True]
    assert (await confirmed(Scripted(patch=lambda name, copy: "passed"), copied=False, control=False)).forged


async def test_copies_that_the_base_runs_stand_beside_a_test_that_was_not_drawn_for_the_first_run() -> None:
    trials, rng = Scripted(), random.Random(5)
    first = await trials.run(copies([replace(TARGET, name="test_b")], rng), patched=True)
    of_others = tuple(replace(run, planting=replace(run.planting, sentinels=())) for run in first.runs)
    trials.trials.clear()
    subject = Subject(targets=[TARGET], fixed=TARGET.ids, kept=["t.py::test_b"], first=replace(first, runs=of_others))
    assert await confirm(trials, subject, rng) == Confirmation()
    assert trials.trials == [False, True, True, True]
    assert trials.runs[1:] == [1, 1, 1, 1]


async def test_a_failing_test_that_cannot_be_copied_and_is_not_fixed_does_not_matter() -> None:
    trials, rng = Scripted(), random.Random(5)
    first = await trials.run(copies([TARGET], rng), patched=True)
    doctest = Target(("t.a",), (), None, "a")
    subject = Subject(targets=[TARGET], fixed=TARGET.ids, kept=["t.py::test_b"], first=first, unfixed=[doctest])
    assert await confirm(trials, subject, rng) == Confirmation()


async def test_where_a_test_may_pass_by_chance_the_base_runs_three_times_and_the_patch_twice_more() -> None:
    trials = Scripted(suspect=3)
    assert await confirmed(trials) == Confirmation()
    assert (trials.trials, sorted(trials.runs[1:])) == ([False, True, True], [1, 3, 3])


async def test_a_fix_that_a_further_run_does_not_repeat_is_refused() -> None:
    trials = Scripted(suspect=3)
    trials.patch = lambda name, copy: "failed" if (name, copy) == ("test_a", None) else fixed(name, copy)
    found = await confirmed(trials)
    assert found.refused == "tests that the patch fixes fail in some runs: t.py::test_a"


async def test_each_way_to_change_a_test_is_tried_where_one_copy_runs_at_a_time() -> None:
    """A total that equals its negative passes one of them."""
    texts: list[bytes] = []

    class Watching(Scripted):
        async def run(self, plan: Planner, *, patched: bool, rounds: Rounds = once) -> Trial:
            trial = await super().run(plan, patched=patched, rounds=rounds)
            texts.extend(run.planting.files["t.py"] for run in trial.runs if patched)
            return trial

    await confirmed(Watching(base=selected(broken), patch=selected(fixed)))
    expected = {text.split(b"assert a() == ")[1].split(b"\n")[0] for text in texts}
    assert len(expected & {b"-1", b"2", b"0"}) >= 2


async def test_files_that_change_while_tests_run_are_forged_results() -> None:
    class Rewriting(Scripted):
        async def run(self, plan: Planner, *, patched: bool, rounds: Rounds = once) -> Trial:
            trial = await super().run(plan, patched=patched, rounds=rounds)
            return replace(trial, problem="test files changed", tampered=True) if patched else trial

    assert (await confirmed(Rewriting())).forged


async def test_signs_of_chance_are_found_in_tests_and_in_what_they_import() -> None:
    class Tree:
        def __init__(self, **files: bytes) -> None:
            self.files = {name.replace("__", "/") + ".py": data for name, data in files.items()}

        async def modules(self) -> Collection[str]:
            return self.files.keys()

        async def read(self, path: str) -> bytes | None:
            return self.files.get(path)

    async def signs(text: bytes = b"", changed: tuple[str, ...] = (), **files: bytes) -> bool:
        return await by_chance([text], changed, ["t.py"], Tree(**files))

    assert not await signs(t=b"import shop.cart\nimport time\n", shop__cart=b"import threading\n")
    assert await signs(t=b"import random\n")
    assert await signs(b"def test_a():\n    assert time.time() > 1\n", t=b"")
    assert await signs(t=b"from shop import cart\n", shop__cart=b"from random import choice\nx = choice([1])\n")
    assert await signs(changed=("shop/cart.py",), t=b"", shop__cart=b"time.sleep(1)\n")
    assert not await signs(t=b"import shop\n", other=b"import random\n")
    assert not await signs(changed=("gone.py",), t=b"def (\n")
    assert await by_chance(
        [], [], ["a/t.py"], Tree(a__t=b"from .b import x\n", a__b=b"import secrets\nx = secrets.choice([1])\n")
    )
