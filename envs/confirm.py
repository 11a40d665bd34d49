"""Confirming that a patch which seems good is good: the base once more, and sentinels that must pass and must fail.

`verify` and SWE-bench's grader share it. What they differ in, how tests are run and on what tree, is behind `Trials`.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from envs.base import TestOutcome
from envs.chance import SourceFiles
from envs.sentinel import Layout, Planting, Sentinel, Target, plant

Outcomes = Mapping[str, TestOutcome]
Planner = Callable[[SourceFiles], Awaitable[Planting]]

_FEW_TARGETS = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs of the tests on one tree. `problem` says why there are none."""

    planting: Planting = field(default_factory=Planting)
    runs: tuple[Outcomes, ...] = ()
    problem: str = ""


class Trials(Protocol):
    """Runs tests in fresh sandboxes."""

    async def run(self, plan: Planner, *, patched: bool) -> Trial:
        """Run the tests with sentinels planted, on the base or on the patched tree, as often as is worth while.

        Args:
            plan: makes the sentinels, from the files as they are once what judges the patch has been put back.

        Raises:
            SetupFailed, SandboxError
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be confirmed.

    Attributes:
        targets: the functions behind the tests that the patch fixed.
        fixed: ids of these tests; `kept` those that passed before the patch and pass with it.
        control: run the base again in any case. Without it, only where sentinels get lost.
    """

    targets: Sequence[Target]
    fixed: Collection[str]
    kept: Collection[str]
    control: bool = True


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What came of it.

    Attributes:
        refused: why the patch is not good after all.
        forged: it was refused for results that cannot be true.
        weak: what keeps a good patch from being confirmed.
    """

    refused: str = ""
    forged: bool = False
    weak: tuple[str, ...] = ()


class Refused(Exception):
    """The patch is not good; ends the confirmation."""

    def __init__(self, reason: str, *, forged: bool = False) -> None:
        self.forged = forged
        super().__init__(reason)


async def confirm(trials: Trials, subject: Subject, rng: random.Random) -> Confirmation:
    """Run base and patch again.

    Raises:
        SetupFailed, SandboxError
    """
    try:
        return Confirmation(weak=await _Confirm(trials, subject, rng).run())
    except Refused as refused:
        return Confirmation(refused=str(refused), forged=refused.forged)


class _Confirm:
    def __init__(self, trials: Trials, subject: Subject, rng: random.Random) -> None:
        self.trials, self.subject, self.rng = trials, subject, rng
        self.beside = 5 if len(subject.targets) <= _FEW_TARGETS else 3

    async def run(self) -> tuple[str, ...]:
        """What keeps the patch from being confirmed; nothing when it is.

        Raises:
            Refused
        """
        beside = True
        if self.subject.control:
            control = await self._control()
            beside = _all_ran(control)
            if weak := _uncovered(control.planting) or self._not_seen(control):
                return weak
        if beside:
            trial = await self._trial(Layout(True, (True, *[False] * (self.beside - 1))), patched=True)
            if uncovered := _uncovered(trial.planting):
                return uncovered
            _refuse_what_passes(trial)
            if not _all_ran(trial):
                if self.subject.control or _all_ran(await self._control()):
                    raise Refused(f"planted tests were not reported in {_file(trial)}", forged=True)
            elif not _failing(trial):
                await self._check_kept(trial)
                return ()
        return await self._in_place()

    async def _in_place(self) -> tuple[str, ...]:
        """Sentinels in the place of their tests only: each command that runs a test runs these."""
        trial = await self._trial(Layout(True), patched=True)
        _refuse_what_passes(trial)
        if not _all_ran(trial):
            raise Refused(f"tests of {_file(trial)} were not reported once they had to fail", forged=True)
        trial = await self._trial(Layout(False), patched=True)
        if not _all_ran(trial):
            raise Refused(f"tests of {_file(trial)} were not reported in a second run")
        if failing := _failing(trial):
            return (f"the fix holds for the tests as they are written only: copies fail of {_some(failing)}",)
        await self._check_kept(trial)
        return ()

    async def _control(self) -> Trial:
        """The base again: what the patch fixes has to fail there each time, in every copy.

        Raises:
            Refused
        """
        control = await self._trial(Layout(False, (False,) * self.beside), patched=False, shuffle=False)
        fixed = set(self.subject.fixed)
        passes: set[str] = set()
        for run in control.runs:
            passes |= {test for test in fixed if run.get(test) == "passed"}
            for one in control.planting.sentinels:
                passes |= {test for test, end in one.outcomes(run).items() if end == "passed" and test in fixed}
        if passes:
            raise Refused(f"the base passes in some runs, too, what the patch seems to fix: {_some(passes)}")
        return control

    def _not_seen(self, control: Trial) -> tuple[str, ...]:
        lost = {test for run in control.runs for test in self.subject.fixed if run.get(test) not in ("failed", "error")}
        return (f"not seen to fail again on the base: {_some(lost)}",) if lost else ()

    async def _trial(self, layout: Layout, *, patched: bool, shuffle: bool = True) -> Trial:
        targets = self.subject.targets

        async def plan(files: SourceFiles) -> Planting:
            paths = dict.fromkeys(path for target in targets for path in target.files)
            sources = {path: data for path in paths if (data := await files.read(path)) is not None}
            return plant(sources, targets, layout, self.rng, shuffle=shuffle)

        trial = await self.trials.run(plan, patched=patched)
        if trial.problem:
            raise Refused(trial.problem)
        return trial

    async def _check_kept(self, trial: Trial) -> None:
        """Tests that pass with the patch have to pass again; those that do not get one more run without sentinels.

        Raises:
            Refused
        """
        kept = trial.planting.untouched(self.subject.kept)
        kept |= set(self.subject.fixed) - {test for one in trial.planting.sentinels for test in one.target.ids}
        lost = {test for run in trial.runs for test in kept if run.get(test) != "passed"}
        if lost:
            again = await self.trials.run(_nothing, patched=True)
            lost = {test for run in again.runs for test in lost if run.get(test) != "passed"}
        if lost:
            raise Refused(f"a second run gave other results: {_some(lost)}")


async def _nothing(files: SourceFiles) -> Planting:
    return Planting()


def _uncovered(planting: Planting) -> tuple[str, ...]:
    if not planting.sentinels or planting.uncovered:
        return (f"no sentinel tests could be made of {_some(planting.uncovered) or 'the fixed tests'}",)
    return ()


def _all_ran(trial: Trial) -> bool:
    return all(one.outcomes(run) for one in trial.planting.sentinels for run in trial.runs)


def _file(trial: Trial) -> str:
    lost = [one for one in trial.planting.sentinels for run in trial.runs if not one.outcomes(run)]
    return lost[0].target.files[0] if lost else ""


def _counting(sentinel: Sentinel, run: Outcomes) -> dict[str, TestOutcome]:
    """Outcomes that count: of a function with many tests those that the patch fixed; all where ids do not say which."""
    found = sentinel.outcomes(run)
    return {test: end for test, end in found.items() if test in sentinel.target.ids} or found


def _refuse_what_passes(trial: Trial) -> None:
    """Refuse a patch with which a copy that must fail does not.

    Raises:
        Refused
    """
    for one in trial.planting.sentinels:
        if one.must_fail:
            ends = [end for run in trial.runs for end in _counting(one, run).values()]
            if good := [end for end in ends if end in ("passed", "skipped")]:
                test = _some(one.target.ids)
                raise Refused(f"a copy of {test} that expects something else was reported as {good[0]}", forged=True)


def _failing(trial: Trial) -> set[str]:
    """Tests of which a copy does not pass although it must."""
    same = [one for one in trial.planting.sentinels if not one.must_fail]
    return {test for one in same for run in trial.runs for test, end in _counting(one, run).items() if end != "passed"}


def _some(tests: Iterable[str]) -> str:
    names = sorted(tests)
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
