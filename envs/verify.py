"""Verification: what a patch does to the user's own tests, in fresh sandboxes into which only the patch's bytes cross.

The patch is checked, applied strictly, and its changes to tests and test settings are undone before the test command
runs. A patch that would be good is confirmed: the base runs once more, and the tests that the patch fixed run as
sentinels, which must pass or must fail. Only what is confirmed test by test is `verified`; the rest of it `passes`.
"""

import random
from dataclasses import replace

from core.diff import parse_diff, touched
from envs.base import Env, Evidence, Patch, Strength, Task, TestReport
from envs.baseline import baseline, run_base
from envs.bench import Bench
from envs.bounded import bounded, check_untrusted
from envs.chance import SourceFiles, by_chance
from envs.confirm import Planner, Subject, Trial, confirm
from envs.errors import PatchRejected
from envs.patched import PatchedRun, run_patched
from envs.sentinel import Planting, targets_of
from envs.tampering import signs_of_tampering
from envs.unstable import Grouping, group
from envs.verdict import Comparison, Judgement, compare, evidence, judge, some

SUSPECT_RUNS = 3
"""Runs of base and of patch where a test may pass by chance; more where they are quick."""

_QUICK_S, _MOST_RUNS = 15.0, 6


async def verify(env: Env, task: Task, patch: Patch, bench: Bench, *, before: TestReport | None = None) -> Evidence:
    """Find out what a patch does to the task's tests.

    Args:
        before: what `baseline` gave for this task; it is run when None.

    Raises:
        TestCommandMissing, BaselineUnusable, SetupFailed, SandboxError: the infrastructure failed; nothing is said
            about the patch.
    """
    if not patch:
        return evidence(patch, before, None, Judgement(1, "the attempt changed nothing"))
    try:
        await check_untrusted(patch.data, bench.rules.patch)
    except PatchRejected as error:
        return evidence(patch, before, None, Judgement(0, f"the patch breaks the rules: {error}"))
    if not task.test_command:
        return evidence(patch, None, None, Judgement(1, "there is no test command to verify with"))
    before = before or await baseline(env, task, bench)
    run = await run_patched(env, task, patch, bench, before)
    if run.report is None:
        return evidence(patch, before, None, Judgement(0, run.problem), restored=run.undone.paths)
    found = await _Verification(env, task, patch, bench, before, run).evidence()
    doubtful = run.undone.doubtful
    if found.verdict != "unverified" or not doubtful or len(await bounded(signs_of_tampering, patch)):
        return found
    # A fix may need what was put back to be safe, such as a new file's place in a makefile: it passes then, at best.
    bench = replace(bench, keep_doubtful=True)
    kept = await run_patched(env, task, patch, bench, before)
    if kept.report is None:
        return found
    needing = await _Verification(env, task, patch, bench, before, kept, needs=doubtful).evidence()
    return needing if needing.verdict == "passes" else found


class _Verification:
    """A patch that applies, and what is known of it so far."""

    def __init__(
        self,
        env: Env,
        task: Task,
        patch: Patch,
        bench: Bench,
        before: TestReport,
        run: PatchedRun,
        *,
        needs: tuple[str, ...] = (),
    ) -> None:
        assert run.report is not None
        self.env, self.task, self.patch, self.bench, self.before = env, task, patch, bench, before
        self.after, self.restored, self.grouping = run.report, run.undone.paths, Grouping()
        self.needs, self.rewritten = needs, run.rewritten

    async def evidence(self) -> Evidence:
        """Compare, look again where the base may differ by itself, and confirm what is good."""
        note = ""
        found = compare(self.before, self.after)
        if found.missing and self.after.ended:
            [again] = await run_base(self.env, self.task, self.bench)
            self.grouping = group(self.before, again)
            self.before, self.after = self.grouping.report(self.before), self.grouping.report(self.after)
            found = compare(self.before, self.after)
            changing = len(self.grouping.changing)
            note = f"; the ids of {changing} tests change from run to run" if changing else ""
        judgement = judge(self.before, self.after, found, self.bench.rules.must_pass)
        if self.rewritten:
            judgement = Judgement(0, f"files that judge the patch changed while the tests ran: {some(self.rewritten)}")
        strength: Strength = "none"
        weak: tuple[str, ...] = ()
        if judgement.good:
            judgement, strength, weak = await self._confirmed(judgement, found)
        if self.restored:
            more = " ..." if len(self.restored) > 5 else ""
            note += f"; without the patch's changes to what tests: {', '.join(self.restored[:5])}{more}"
        judgement = Judgement(judgement.rank, judgement.reason + note, judgement.good)
        return evidence(
            self.patch,
            self.before,
            self.after,
            judgement,
            strength=strength,
            weak=weak,
            found=found,
            restored=self.restored,
        )

    async def _confirmed(self, judgement: Judgement, found: Comparison) -> tuple[Judgement, Strength, tuple[str, ...]]:
        """The judgement as it stands after confirmation, with its strength and what it lacks."""
        strength, weak = self._strength(found)
        if weak:
            refused = await self._base_passes(found)
        else:
            places = self.before.places
            subject = Subject(
                targets=targets_of(found.fixed, places, random.SystemRandom()),
                fixed=found.fixed,
                kept=[test for test in self.after.ids("passed") if test not in set(found.fixed)],
            )
            result = await confirm(self, subject, random.SystemRandom())
            refused, weak = result.refused, result.weak
            if result.forged:
                return Judgement(0, f"the test results are forged: {refused}"), "none", ()
        if refused:
            return Judgement(1, refused), "none", ()
        if signs := await bounded(signs_of_tampering, self.patch):
            weak = (f"the patch may work on its tests instead of its task: {signs[0]}", *weak)
        if weak:
            return Judgement(judgement.rank, f"{judgement.reason}; not confirmed: {weak[0]}", True), strength, weak
        reason = f"{judgement.reason}; confirmed by sentinel tests and another run of the base"
        return Judgement(judgement.rank, reason, True), "confirmed", ()

    def _strength(self, found: Comparison) -> tuple[Strength, tuple[str, ...]]:
        """What the reports are worth, and why no more."""
        by_name = bool(self.before.tests and self.after.tests)
        weak: list[str] = []
        if self.needs:
            weak.append(f"it passes only with its changes to what may steer the tests: {some(self.needs)}")
        if not by_name:
            weak.append("only the test command's exit code is known")
        elif {self.before.source, self.after.source} != {"recorder"}:
            weak.append("the results are the test command's own report: only pytest and unittest are recorded by heats")
        unseen = set(found.fixed) - set(self.before.tests)
        if unseen:
            weak.append(f"never seen to fail, because the base cannot load them: {some(sorted(unseen))}")
        if self.before.status == "timeout":
            weak.append("the tests do not end on the base")
        if not self.bench.rules.sentinels:
            weak.append("verify.sentinels is off")
        return ("report" if by_name else "exit-code"), tuple(weak)

    async def _base_passes(self, found: Comparison) -> str:
        """Why the patch fixes nothing, where a second run of the base passes, too."""
        [again] = await run_base(self.env, self.task, self.bench)
        passes = [test for test in found.fixed if again.tests.get(test) == "passed"]
        if passes or (not found.fixed and again.status == "passed"):
            return f"the base passes in some runs, too{': ' + some(passes) if passes else ''}"
        return ""

    async def run(self, plan: Planner, *, patched: bool) -> Trial:
        """See `Trials.run`: once, or several times where the tests show signs of chance."""

        async def prepare(files: SourceFiles) -> tuple[Planting, int]:
            planting = await plan(files)
            return planting, await self._times(files, planting)

        patch = self.patch if patched else Patch(b"")
        ran = await run_patched(self.env, self.task, patch, self.bench, self.before, prepare=prepare)
        return Trial(ran.planting, tuple(self.grouping.of(one.tests) for one in ran.runs), ran.problem)

    async def _times(self, files: SourceFiles, planting: Planting) -> int:
        paths = {*planting.files, *touched(parse_diff(self.patch.data))}
        if not await by_chance(sorted(paths), files):
            return 1
        quick = int(_QUICK_S / max(self.before.duration_s, 0.1))
        return max(SUSPECT_RUNS, min(_MOST_RUNS, quick))
