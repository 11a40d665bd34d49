"""Verification: run the user's own tests on a patch, in fresh sandboxes that receive only the patch's bytes.

The patch is checked and strictly applied, and its changes to tests and test settings are undone before the test command
runs. A patch that looks good is confirmed: the base runs once more, and the tests that the patch fixed run as
sentinels, which must pass or must fail. Only a patch confirmed test by test is `verified`; other good patches are
`passes`.
"""

import random
from collections.abc import Mapping
from dataclasses import replace

from core.diff import parse_diff, touched
from envs.base import Env, Evidence, Patch, Strength, Task, TestReport
from envs.baseline import baseline, names, run_base
from envs.bench import Bench
from envs.bounded import bounded, check_untrusted
from envs.chance import SourceFiles, by_chance
from envs.confirm import PlantedRun, Rounds, Subject, Trial, confirm
from envs.copying import Target
from envs.errors import PatchRejected
from envs.patched import PatchedRun, run_patched
from envs.planning import Planner, copies
from envs.sentinel import Planting, targets_of
from envs.tampering import signs_of_tampering
from envs.unstable import Grouping, group
from envs.verdict import Comparison, Judgement, compare, evidence, judge, some

SUSPECT_RUNS = 3
"""Number of runs of base and patch if a test may pass by chance; more if it uses random numbers and is quick."""

_QUICK_S, _MOST_RUNS = 15.0, 6
_UNTRUSTED = "; this sandbox cannot keep the code under test from forging test results"


async def verify(env: Env, task: Task, patch: Patch, bench: Bench, *, before: TestReport | None = None) -> Evidence:
    """Find out what a patch does to the task's tests.

    Args:
        env: env that prepares sandboxes.
        task: the task, with its test command.
        patch: the patch to verify.
        bench: backend, limits and verification rules.
        before: result of `baseline` for this task; None runs it.

    Raises:
        TestCommandMissing, BaselineUnusable, SetupFailed, SandboxError: the infrastructure failed, which says nothing
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
    first = _Verification(env, task, patch, bench, before)
    found = await first.evidence()
    if found.verdict != "unverified" or not first.doubtful or len(await bounded(signs_of_tampering, patch)):
        return found
    # A fix may need something that was restored as a precaution, such as a makefile entry for a new file. Such a patch
    # can at best be `passes`.
    bench = replace(bench, keep_doubtful=True)
    needing = await _Verification(env, task, patch, bench, before, needs=first.doubtful).evidence()
    return needing if needing.verdict == "passes" else found


class _Verification:
    """Verification of one patch, given the report of the base."""

    def __init__(
        self, env: Env, task: Task, patch: Patch, bench: Bench, before: TestReport, *, needs: tuple[str, ...] = ()
    ) -> None:
        self.env, self.task, self.patch, self.bench, self.before = env, task, patch, bench, before
        self.grouping, self.rng = Grouping(), random.SystemRandom()
        self.needs = needs
        self.doubtful: tuple[str, ...] = ()
        self.targets: list[Target] = []

    async def evidence(self) -> Evidence:
        """Run the tests, compare, rerun if the base itself may be unstable, and confirm what is good."""
        run = await self._first()
        self.doubtful, restored = run.undone.doubtful, run.undone.paths
        if run.report is None:
            return evidence(self.patch, self.before, None, Judgement(0, run.problem), restored=restored)
        if compare(self.before, run.report).missing and run.report.ended:
            [again] = await run_base(self.env, self.task, self.bench)
            self.grouping = group(self.before, again)
        before, after, found = self._compared(run)
        if any(one.files for one in run.plantings) and _harmed(found, after):
            run = await run_patched(self.env, self.task, self.patch, self.bench, self.before)
            before, after, found = self._compared(run)
        judgement = judge(before, after, found, self.bench.rules.must_pass)
        strength: Strength = "none"
        weak: tuple[str, ...] = ()
        if run.rewritten:
            judgement = Judgement(0, f"the test results are forged: {_rewritten(run)}")
        elif judgement.good:
            judgement, strength, weak = await self._confirmed(judgement, run, before, after, found)
        note = self._note(restored) + ("" if after.trusted or not judgement.good else _UNTRUSTED)
        judgement = Judgement(judgement.rank, judgement.reason + note, judgement.good)
        return evidence(
            self.patch, before, after, judgement, strength=strength, weak=weak, found=found, restored=restored
        )

    async def _first(self) -> PatchedRun:
        """Run the tests with the patch, along with copies of those that fail without it."""
        failing = [test for test in self.before.ids("failed", "error") if self._counts(test)]
        self.targets = targets_of(failing, self.before.places, self.rng)
        if not self.bench.rules.sentinels or not any(target.files for target in self.targets):
            return await run_patched(self.env, self.task, self.patch, self.bench, self.before)
        plan = copies(self.targets, self.rng)

        async def prepare(files: SourceFiles) -> list[Planting]:
            return [await plan(files)] * self.bench.rules.repeats

        return await run_patched(self.env, self.task, self.patch, self.bench, self.before, prepare=prepare)

    def _compared(self, run: PatchedRun) -> tuple[TestReport, TestReport, Comparison]:
        """Both reports, read with regard to unstable tests, and their comparison."""
        assert run.report is not None
        before, after = self.grouping.report(self.before), self.grouping.report(run.report)
        return before, after, compare(before, after)

    def _note(self, restored: tuple[str, ...]) -> str:
        changing, more = len(self.grouping.changing), " ..." if len(restored) > 5 else ""
        note = f"; the ids of {changing} tests change from run to run" if changing else ""
        return note + (f"; without the patch's changes to tests: {', '.join(restored[:5])}{more}" if restored else "")

    def _counts(self, test: str) -> bool:
        wanted = self.bench.rules.must_pass
        return not wanted or any(names(one, test) for one in wanted)

    async def _confirmed(
        self, judgement: Judgement, run: PatchedRun, before: TestReport, after: TestReport, found: Comparison
    ) -> tuple[Judgement, Strength, tuple[str, ...]]:
        """The judgement after confirmation, its strength, and why it is not stronger."""
        strength, weak = self._strength(before, after, found)
        if weak:
            refused = await self._base_passes(found)
        else:
            subject = self._subject(run, before, after, found)
            result = await confirm(self, subject, self.rng, self.bench.spare)
            refused, weak = result.refused, result.weak
            if result.forged:
                return Judgement(0, f"the test results are forged: {refused}"), "none", ()
        if refused:
            return Judgement(1, refused), "none", ()
        if signs := await bounded(signs_of_tampering, self.patch):
            weak = (f"the patch may target its tests instead of its task: {signs[0]}", *weak)
        if weak:
            return Judgement(judgement.rank, f"{judgement.reason}; not confirmed: {weak[0]}", True), strength, weak
        reason = f"{judgement.reason}; confirmed by sentinel tests and another run of the base"
        return Judgement(judgement.rank, reason, True), "confirmed", ()

    def _subject(self, run: PatchedRun, before: TestReport, after: TestReport, found: Comparison) -> Subject:
        """What to confirm: for functions with many tests, only the tests that the patch fixed."""
        fixed = set(found.fixed)
        targets: dict[Target, Target] = {}
        for one in self.targets:
            ids = tuple(dict.fromkeys(name for test in one.ids if (name := self.grouping.name(test)) in fixed))
            if ids:
                targets[one] = one.narrowed(ids)
        trial = self._trial(run)
        runs = [replace(one, planting=_narrowed(one.planting, targets)) for one in trial.runs]
        return Subject(
            targets=tuple(targets.values()) or targets_of(found.fixed, before.places, self.rng),
            fixed=found.fixed,
            kept=[test for test in after.ids("passed") if test not in fixed],
            first=replace(trial, runs=tuple(runs)),
            unfixed=[one for one in self.targets if one not in targets] if targets else (),
        )

    def _trial(self, run: PatchedRun) -> Trial:
        problem = run.problem or (_rewritten(run) if run.rewritten else "")
        cut = next((one.status for one in run.runs if one.status in ("timeout", "oom", "indeterminate")), "")
        pairs = zip(run.plantings, run.runs, strict=False)
        runs = tuple(PlantedRun(planting, self.grouping.of(one.tests)) for planting, one in pairs)
        return Trial(runs, problem, tampered=bool(run.rewritten), cut_short=cut)

    def _strength(self, before: TestReport, after: TestReport, found: Comparison) -> tuple[Strength, tuple[str, ...]]:
        """What the reports are worth, and why not more."""
        by_name = bool(before.tests and after.tests)
        weak: list[str] = []
        if self.needs:
            weak.append(f"it passes only with its changes to files that may control the tests: {some(self.needs)}")
        if not by_name:
            weak.append("only the test command's exit code is known")
        elif {before.source, after.source} != {"recorder"}:
            weak.append(
                "the results come from the test command's own report: "
                "heats records only pytest, unittest, node --test and mocha itself"
            )
        unseen = set(found.fixed) - set(before.tests)
        if unseen:
            weak.append(f"never failed on the base, which cannot load them: {some(sorted(unseen))}")
        if before.status == "timeout":
            weak.append("the tests do not finish on the base")
        if not self.bench.rules.sentinels:
            weak.append("verify.sentinels is off")
        return ("report" if by_name else "exit-code"), tuple(weak)

    async def _base_passes(self, found: Comparison) -> str:
        """Why the patch fixes nothing, if a second run of the base passes as well."""
        [again] = await run_base(self.env, self.task, self.bench)
        passes = [test for test in found.fixed if again.tests.get(test) == "passed"]
        if passes or (not found.fixed and again.status == "passed"):
            return f"the base also passes in some runs{': ' + some(passes) if passes else ''}"
        return ""

    async def run(self, plan: Planner, *, patched: bool, rounds: Rounds) -> Trial:
        """See `Trials.run`."""

        async def prepare(files: SourceFiles) -> list[Planting]:
            plantings = [await plan(files)]
            runs = await rounds(files, plantings[0])
            return plantings + [await plan(files) for _ in range(runs - 1)]

        patch = self.patch if patched else Patch(b"")
        return self._trial(await run_patched(self.env, self.task, patch, self.bench, self.before, prepare=prepare))

    async def against_chance(self, files: SourceFiles, planting: Planting) -> int:
        """See `Trials.against_chance`."""
        changed = sorted(touched(parse_diff(self.patch.data)))
        chance = await by_chance(planting.texts, changed, planting.files, files)
        if chance != "random":
            return SUSPECT_RUNS if chance else 1
        quick = int(_QUICK_S / max(self.before.duration_s, 0.1))
        return max(SUSPECT_RUNS, min(_MOST_RUNS, quick))


def _narrowed(planting: Planting, targets: Mapping[Target, Target]) -> Planting:
    """The sentinels of the targets that count, limited to the ids that count."""
    sentinels = (replace(one, target=targets[one.target]) for one in planting.sentinels if one.target in targets)
    return replace(planting, sentinels=tuple(sentinels))


def _harmed(found: Comparison, after: TestReport) -> bool:
    """Whether the copies beside the tests may have affected the results."""
    worse = found.broken or found.missing or found.new_failures
    return bool(worse) or after.status not in ("passed", "failed")


def _rewritten(run: PatchedRun) -> str:
    return f"files that judge the patch changed while the tests ran: {some(run.rewritten)}"
