"""Confirm that a patch that looks good is good: rerun the base, and run sentinels that must pass or must fail.

Shared by `verify` and SWE-bench's grader. Their differences (how tests run, and on which tree) are behind `Trials`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, TypeVar

from core.aio import in_turn, stopped, together
from envs.base import TestOutcome
from envs.chance import SourceFiles
from envs.copying import Target
from envs.planning import Planner, copies, copies_of_each, planner
from envs.sentinel import Layout, Planting, Sentinel

Outcomes = Mapping[str, TestOutcome]
Rounds = Callable[[SourceFiles, Planting], Awaitable[int]]
"""The number of runs in one sandbox, from the tree and the sentinels of the first run."""

Weak = tuple[str, ...]
"""Why a good patch is not confirmed; empty if it is."""

T = TypeVar("T")
Both = tuple[Weak, T | None]
Spare = Callable[[], AbstractContextManager[bool]]
"""Reserves a second sandbox if there is room for one now, and says whether it did."""

_ROUNDS = 4
"""Changes tried one after another if a command runs only one copy of a test."""


@dataclass(frozen=True, slots=True)
class PlantedRun:
    """One run of the tests, with what was planted in them."""

    planting: Planting
    tests: Outcomes

    @property
    def lost(self) -> list[Sentinel]:
        """Sentinels missing from the results that should be there."""
        return [one for one in self.planting.sentinels if not one.optional and not one.outcomes(self.tests)]


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs of the tests on one tree.

    Attributes:
        problem: why the runs are unusable; `tampered` if that is because test files were changed.
        cut_short: how a run was stopped early, such as `timeout`.
    """

    runs: tuple[PlantedRun, ...] = ()
    problem: str = ""
    tampered: bool = False
    cut_short: str = ""

    @property
    def lost(self) -> list[Sentinel]:
        """Sentinels missing from the results of at least one run."""
        return [one for run in self.runs for one in run.lost]

    @property
    def complete(self) -> bool:
        """Whether there are sentinels and every run reported all of them."""
        return all(run.planting.sentinels for run in self.runs) and bool(self.runs) and not self.lost

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Why the patch cannot be confirmed if no sentinels could be made, in one line; else empty."""
        tests = {test for run in self.runs for test in run.planting.uncovered}
        if tests or not all(run.planting.sentinels for run in self.runs):
            return (f"could not create sentinel tests from {_some(tests) or 'the fixed tests'}",)
        return ()


class Trials(Protocol):
    """Runs tests in fresh sandboxes."""

    async def run(self, plan: Planner, *, patched: bool, rounds: Rounds) -> Trial:
        """Run the tests with sentinels planted, on the base or on the patched tree.

        Args:
            plan: makes the sentinels of one run from the files as they are after protected files were restored.
            patched: run on the patched tree instead of the base.
            rounds: number of runs.

        Raises:
            SetupFailed, SandboxError
        """
        ...

    async def against_chance(self, files: SourceFiles, planting: Planting) -> int:
        """The number of runs that tests need: one, or several if they may pass by chance.

        Args:
            files: the base tree.
            planting: the sentinels, with the source of the tests.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be confirmed.

    Attributes:
        targets: the functions behind the tests that the patch fixed.
        fixed: ids of these tests; `kept`: ids of those that passed before the patch and still pass.
        first: the run on the patched tree that showed this, with unchanged copies beside the tests.
        unfixed: functions that had copies in the first run although the patch does not fix them. They get copies again,
            so that the runs look alike.
        control: also rerun the base.
        extra: changed copies to put beside each test even though the first run had none; those that the command does
            not run are ignored.
    """

    targets: Sequence[Target]
    fixed: Collection[str]
    kept: Collection[str]
    first: Trial
    unfixed: Sequence[Target] = ()
    control: bool = True
    extra: int = 0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Result of a confirmation.

    Attributes:
        refused: why the patch is not good after all.
        forged: it was refused because of results that cannot be true.
        weak: why a good patch could not be confirmed.
    """

    refused: str = ""
    forged: bool = False
    weak: Weak = ()


class Unsettled(Exception):
    """A run was inconclusive: the patch may be good but is not confirmed."""


class Refused(Exception):
    """The patch is not good; ends the confirmation."""

    def __init__(self, reason: str, *, forged: bool = False) -> None:
        self.forged = forged
        super().__init__(reason)


def no_room() -> AbstractContextManager[bool]:
    """Never allow a second sandbox; see `Spare`."""
    return nullcontext(False)


def room_for_all() -> AbstractContextManager[bool]:
    """Always allow a second sandbox; see `Spare`."""
    return nullcontext(True)


async def confirm(trials: Trials, subject: Subject, rng: random.Random, spare: Spare = no_room) -> Confirmation:
    """Rerun base and patch to confirm a good result.

    Args:
        trials: runs the tests.
        subject: the tests to confirm.
        rng: source of randomness for names and changed values; unpredictable outside of tests.
        spare: asks for a second sandbox, so that base and patch can run at the same time.

    Raises:
        SetupFailed, SandboxError
    """
    try:
        return Confirmation(weak=await _Confirm(trials, subject, rng, spare).run())
    except Unsettled as unsettled:
        return Confirmation(weak=(str(unsettled),))
    except Refused as refused:
        return Confirmation(refused=str(refused), forged=refused.forged)


class _Confirm:
    def __init__(self, trials: Trials, subject: Subject, rng: random.Random, spare: Spare) -> None:
        self.trials, self.subject, self.rng, self.spare = trials, subject, rng, spare
        self.beside = subject.first.complete
        """Whether copies run beside the tests."""
        self.runs: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Number of runs that rule out chance, known as soon as the base's tests have been read."""

    async def run(self) -> Weak:
        """Why the patch is not confirmed; empty if it is.

        The base runs with unchanged copies, and the patch with changed copies only, so code that reads the expected
        value off a test gives itself away by passing them. Unchanged copies passed in the first run; if they did not,
        or if the command does not run them, restated tests replace the originals.

        Raises:
            Refused
        """
        if not self.subject.control:
            await self._refuse_forged()
            return await self._in_other_words()
        if self.beside:
            steady = self._first_covers()
            weak, _ = await self._both(self._control(), self._refuse_forged(repeat=steady))
            return weak or (() if steady else await self._in_other_words())
        # Which copies the base runs decides how the changed tests have to run.
        weak, unlike = await self._both(self._control(), self._in_other_words())
        if weak:
            return weak
        await self._refuse_forged()
        return unlike or ()

    async def _both(self, control: Coroutine[Any, Any, Weak], other: Coroutine[Any, Any, T]) -> Both[T]:
        """Run base and patch, at the same time if there is room; the patch counts only if the base is as expected.

        Args:
            control: the run of the base; returns why it is not as expected.
            other: the run of the patch.

        Returns:
            Both results; the second is None if the first is not empty.
        """
        with self.spare() as room:
            task = asyncio.create_task(other) if room else None
            try:
                weak = await control
                return weak, None if weak else await (task or other)
            finally:
                other.close() if task is None else await stopped(task)

    async def _control(self) -> Weak:
        """Require that the base fails again.

        Raises:
            Refused, Unsettled
        """
        first = self.subject.first
        control = await self._trial(copies(self.subject.targets, self.rng), patched=False, rounds=self._decide)
        self._refuse_passes(control)
        if weak := control.uncovered or self._not_seen(control):
            return weak
        if control.complete and first.lost:
            raise Refused(f"planted tests were not reported in {_file(first)}", forged=True)
        # If many tests fail on the base, the first run may have contained copies of other tests only.
        self.beside = self.beside or (control.complete and any(run.planting.files for run in first.runs))
        return ()

    async def _decide(self, files: SourceFiles, planting: Planting) -> int:
        self.runs.set_result(await self.trials.against_chance(files, planting))
        return self.runs.result()

    async def _refuse_forged(self, *, repeat: bool = False) -> None:
        """Run the patch with changed tests only, which have to fail, in two sandboxes.

        Where copies run beside the tests, there are as many as in the first run. In one sandbox all copies of a test
        expect the same, as they do in the first run, so that they give no hint that they are changed; in the other each
        expects something else. Both are fresh, as in the first run, so that no run can know that another preceded it.

        Args:
            repeat: where the base runs several times, run unchanged tests as often, which have to pass: against chance.

        Raises:
            Refused, Unsettled
        """
        beside, everything = self.beside, [*self.subject.targets, *self.subject.unfixed]
        number = self._copies_in_first() or copies_of_each(everything) if beside else self.subject.extra
        layouts = (Layout(True, (True,) * number, same, optional=not beside) for same in (True, False))
        alike, unlike = (planner(everything, layout, self.rng) for layout in layouts)
        unchanged, made = copies(self.subject.targets, self.rng), count()

        async def plan_alike(files: SourceFiles) -> Planting:
            return (await (alike if number else unlike)(files)).only(self.subject.targets)

        async def plan_unlike(files: SourceFiles) -> Planting:
            return (await (unchanged if next(made) and repeat else unlike)(files)).only(self.subject.targets)

        async def rounds(files: SourceFiles, planting: Planting) -> int:
            return _ROUNDS // 2 if not beside else await self.runs if repeat else 1

        trial = await self._at_once(
            self._trial(plan_alike, patched=True, rounds=_once if beside else rounds),
            self._trial(plan_unlike, patched=True, rounds=_once if number and not beside else rounds),
        )
        if weak := trial.uncovered:
            raise Unsettled(weak[0])
        _refuse_what_passes(trial)
        if not trial.complete:
            raise Refused(f"tests of {_file(trial)} were not reported when they had to fail", forged=True)
        await self._check_kept(trial)
        again, fixed = trial.runs[2:] if repeat else (), self.subject.fixed
        failing = _failing(trial) | {test for run in again for test in fixed if run.tests.get(test) != "passed"}
        if again and failing:
            raise Refused(f"tests that the patch fixes fail in some runs: {_some(failing)}")

    async def _at_once(self, *trials: Coroutine[Any, Any, Trial]) -> Trial:
        """Run two trials at the same time, or one after the other if there is no room; returns all of their runs."""
        with self.spare() as room:
            done = await together(trials) if room else await in_turn(trials)
        return Trial(tuple(run for trial in done for run in trial.runs))

    def _first_covers(self) -> bool:
        """Whether every target had copies in the first run and all of them passed."""
        first = self.subject.first
        covered = {one.target for run in first.runs for one in run.planting.sentinels}
        return covered.issuperset(self.subject.targets) and not _failing(first)

    def _copies_in_first(self) -> int:
        """How many copies each test had in the first run."""
        runs = self.subject.first.runs[:1]
        return max(Counter(one.target for run in runs for one in run.planting.sentinels).values(), default=0)

    async def _in_other_words(self) -> Weak:
        plan = planner(self.subject.targets, Layout(False), self.rng)
        try:
            trial = await self._trial(plan, patched=True, rounds=self.trials.against_chance)
        except Unsettled as unsettled:
            return (str(unsettled),)
        failing = _failing(trial) | {one.target.ids[0] for one in trial.lost}
        if failing:
            return (f"the fix only works for the tests exactly as written: copies of {_some(failing)} fail",)
        return ()

    def _refuse_passes(self, control: Trial) -> None:
        """Require that everything the patch fixes fails on the base each time, in every copy.

        Raises:
            Refused
        """
        fixed = set(self.subject.fixed)
        passes: set[str] = set()
        for run in control.runs:
            passes |= {test for test in fixed if run.tests.get(test) == "passed"}
            for one in run.planting.sentinels:
                passes |= {test for test, end in one.outcomes(run.tests).items() if end == "passed" and test in fixed}
        if passes:
            raise Refused(f"the base also passes in some runs what the patch seems to fix: {_some(passes)}")

    def _not_seen(self, control: Trial) -> Weak:
        fails = ("failed", "error")
        lost = {test for run in control.runs for test in self.subject.fixed if run.tests.get(test) not in fails}
        return (f"did not fail again on the base: {_some(lost)}",) if lost else ()

    async def _trial(self, plan: Planner, *, patched: bool, rounds: Rounds) -> Trial:
        trial = await self.trials.run(plan, patched=patched, rounds=rounds)
        if trial.problem:
            raise Refused(trial.problem, forged=trial.tampered)
        if trial.cut_short:
            whose = "patch" if patched else "base"
            raise Unsettled(f"a further run of the {whose} ended with: {trial.cut_short}")
        return trial

    async def _check_kept(self, trial: Trial) -> None:
        """Require that tests that pass with the patch pass again; failures get one more run without sentinels.

        Raises:
            Refused
        """
        first = trial.runs[0].planting
        kept = first.untouched(self.subject.kept)
        kept |= set(self.subject.fixed) - {test for one in first.sentinels for test in one.target.ids}
        lost = {test for run in trial.runs for test in kept if run.tests.get(test) != "passed"}
        if lost:
            again = await self._trial(_nothing, patched=True, rounds=_once)
            lost = {test for run in again.runs for test in lost if run.tests.get(test) != "passed"}
        if lost:
            raise Refused(f"a second run gave other results: {_some(lost)}")


async def _nothing(files: SourceFiles) -> Planting:
    return Planting()


async def _once(files: SourceFiles, planting: Planting) -> int:
    return 1


def _file(trial: Trial) -> str:
    return trial.lost[0].target.files[0] if trial.lost else ""


def _counting(sentinel: Sentinel, tests: Outcomes) -> dict[str, TestOutcome]:
    """The outcomes that count: those of tests that the patch fixed, or all if ids do not tell tests apart."""
    found = sentinel.outcomes(tests)
    return {test: end for test, end in found.items() if test in sentinel.target.ids} or found


def _refuse_what_passes(trial: Trial) -> None:
    """Refuse a patch with which a must-fail copy passes.

    Raises:
        Refused
    """
    for run in trial.runs:
        for one in run.planting.sentinels:
            ends = [end for end in _counting(one, run.tests).values() if end in ("passed", "skipped")]
            if one.must_fail and ends:
                test = _some(one.target.ids)
                raise Refused(f"a copy of {test} that expects something else was reported as {ends[0]}", forged=True)


def _failing(trial: Trial) -> set[str]:
    """Tests with a copy that fails although it must pass."""
    same = [(run, one) for run in trial.runs for one in run.planting.sentinels if not one.must_fail]
    return {test for run, one in same for test, end in _counting(one, run.tests).items() if end != "passed"}


def _some(tests: Iterable[str]) -> str:
    names = sorted(tests)
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
