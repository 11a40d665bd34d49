"""The policy: what to do next, given the conversation and a seed."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from core.record import Config
from heats.demo.commands import Commands
from heats.demo.edits import Patch, Slip, TriedEdits, best_of, joined, patch_text, slip_of
from heats.demo.pool import DrawnEdit, Pool, Taste, sample
from heats.demo.reading import Knowledge


class RepairConfig(Config):
    """How hard the policy tries.

    Attributes:
        batch: patches tried by one command.
        checks: number of such commands in one rollout.
        seconds: time limit of each of our commands, well below the agent's own limit.
    """

    batch: int = Field(6, gt=0)
    checks: int = Field(8, gt=0)
    seconds: float = Field(40.0, gt=0)


@dataclass(frozen=True, slots=True)
class RepairAction:
    """The assistant's text, the commands it runs, and whether it submits afterwards."""

    text: str
    commands: tuple[str, ...] = ()
    submit: bool = False


class RepairPolicy:
    """Chooses actions; a pure function of the knowledge and the seed.

    Args:
        config: how hard it tries.
        pool: candidates, with their parsing cache.
    """

    def __init__(self, config: RepairConfig, pool: Pool) -> None:
        self.config = config
        self.pool = pool

    def act(self, known: Knowledge, seed: int) -> RepairAction:
        """The next action."""
        key = f"{seed} {known.task.statement}"
        commands = Commands(known.command, known.task.workdir, key, known.folder)
        if known.turns == 0:
            return RepairAction("I look around and run the tests.", (commands.look(), commands.tests()))
        if known.finished:
            return RepairAction(_farewell(known), submit=True)
        if not known.located:
            return self._locate(known, commands)
        if not known.run:
            return RepairAction("The tests could not be run under the recorder; I change nothing.", (commands.clean(),))
        if not known.run.get("failing"):
            return RepairAction("No test fails, so nothing shows me the fault; I change nothing.", (commands.clean(),))
        return self._search(known, commands, seed)

    def _locate(self, known: Knowledge, commands: Commands) -> RepairAction:
        said = "I record which lines the failing tests execute and rank the code by suspicion."
        if known.task.earlier:
            passed = sum(bool(attempt.outcome and attempt.outcome.passes) for attempt in known.task.earlier)
            said += f" Earlier attempts report {len(known.task.earlier)} edits tried, {passed} of them passing."
        return RepairAction(said, (commands.locate(known.task.words, self.config.seconds),))

    def _search(self, known: Knowledge, commands: Commands, seed: int) -> RepairAction:
        taste = Taste(seed)
        choices = self.pool.choices(known, taste)
        plausibility = {choice.patch: choice.plausibility for choice in choices}
        winner = _winner(known, plausibility, taste)
        exhausted = known.checks >= self.config.checks or known.unsettled >= 2
        if winner and (exhausted or self._settled(known, plausibility.get(winner.patch, 0.2))):
            return _finish(commands, winner, "All tests pass with")
        if exhausted:
            return self._give_up(known, commands)
        unseen = [unit for unit in known.ranking if (unit.get("p"), unit.get("l")) not in known.units]
        if unseen and known.shows < known.checks // 2 and not winner:
            return _show(commands, unseen, taste, known)
        patches = self._patches(known, choices, random.Random(f"{seed} {known.turns}"), taste)
        if not patches:
            return _show(commands, unseen, taste, known) if unseen else self._give_up(known, commands)
        base = best_of(known.tried)
        said = f"I try {len(patches)} edits" + (" on top of the best so far." if base else ".")
        command = commands.check(patches, base.patch if base else (), known.turns, self.config.seconds)
        return RepairAction(said, (command,))

    def _settled(self, known: Knowledge, plausibility: float) -> bool:
        """Whether to accept a passing change: an unlikely one is compared with others first."""
        return plausibility >= 0.2 or known.checks > known.first_pass

    def _give_up(self, known: Knowledge, commands: Commands) -> RepairAction:
        best = best_of(known.tried)
        if best:
            return _finish(commands, best, "Nothing passes all tests; the best found is")
        tried = len(known.tried)
        return RepairAction(f"None of the {tried} edits tried helped; I leave the code as it was.", (commands.clean(),))

    def _patches(self, known: Knowledge, choices: Sequence[DrawnEdit], rng: random.Random, taste: Taste) -> list[Patch]:
        done = {attempt.patch for attempt in known.tried}
        failed, promising = _judged(known.task.earlier)
        patches: list[Patch] = []
        if known.checks == 0:
            liked = sorted(promising, key=lambda patch: -promising[patch] * taste("recheck", patch))
            patches = liked[: max(self.config.batch - 2, 1)]
        avoided = done | failed | set(patches)
        bases = _bases(known)
        near = {(edit.path, edit.line) for patch in [*promising, *bases] for edit in patch}
        favoured = [_favoured(choice, near, known.task.slips) for choice in choices if choice.patch not in avoided]
        for choice in sample(favoured, 2 * self.config.batch, rng, per_line=4 if near else 2):
            patch = _on_base(choice.patch, bases, rng)
            if patch not in avoided and len(patches) < self.config.batch:
                avoided.add(patch)
                patches.append(patch)
        return patches


def _favoured(choice: DrawnEdit, near: set[tuple[str, int]], slips: Collection[Slip]) -> DrawnEdit:
    """Prefer places where something helped, and slips that earlier work noted."""
    factor = 4.0 if choice.line in near else 1.0
    factor *= 20.0 if any(slip_of(edit) in slips for edit in choice.patch) else 1.0
    return DrawnEdit(choice.patch, choice.weight * factor, choice.plausibility, choice.line)


def _judged(earlier: Sequence[TriedEdits]) -> tuple[set[Patch], dict[Patch, float]]:
    """Patches that failed in earlier attempts, and those worth another look, with their value."""
    failed: set[Patch] = set()
    promising: Counter[Patch] = Counter()
    for attempt in earlier:
        outcome = attempt.outcome
        if outcome is None:
            promising[attempt.patch] += 1
        elif outcome.passes:
            promising[attempt.patch] += 10
        elif outcome.helps:
            promising[attempt.patch] += 4
        elif outcome.further:
            promising[attempt.patch] += 2
        else:
            failed.add(attempt.patch)
    return failed - set(promising), dict(promising)


def _bases(known: Knowledge) -> list[Patch]:
    """Patches to build on: the best that helped, else those that got a failing test further."""
    best = best_of(known.tried)
    if best:
        return [best.patch]
    return [attempt.patch for attempt in known.tried if attempt.outcome and attempt.outcome.further]


def _on_base(patch: Patch, bases: Sequence[Patch], rng: random.Random) -> Patch:
    if bases and rng.random() < (0.75 if len(bases) == 1 else 0.4):
        return joined(rng.choice(bases), patch) or patch
    return patch


def _winner(known: Knowledge, plausibility: dict[Patch, float], taste: Taste) -> TriedEdits | None:
    """The passing patch that looks most like what a person would have written."""
    passing = [attempt for attempt in known.tried if attempt.outcome and attempt.outcome.passes]

    def natural(attempt: TriedEdits) -> float:
        likely = plausibility.get(attempt.patch, 0.2 / len(attempt.patch))
        return likely * taste("natural", attempt.patch, spread=0.3)

    return max(passing, key=natural, default=None)


def _finish(commands: Commands, attempt: TriedEdits, said: str) -> RepairAction:
    text = f"{said} {patch_text(attempt.patch)}. I apply it and run the tests once more."
    return RepairAction(text, (commands.apply(attempt.patch), commands.tests()))


def _show(commands: Commands, unseen: Sequence[dict[str, Any]], taste: Taste, known: Knowledge) -> RepairAction:
    def liked(unit: dict[str, Any]) -> float:
        suspicion: float = float(unit.get("s", 0)) ** taste.sharpness
        return suspicion * taste("unit", unit.get("p"), unit.get("l"), spread=0.5)

    chosen = sorted(unseen, key=liked, reverse=True)[:6]
    names = ", ".join(f"{unit.get('n')} ({unit.get('p')}:{unit.get('l')})" for unit in chosen[:3])
    return RepairAction(f"I read more of the code: {names}.", (commands.show(chosen, known.turns),))


def _farewell(known: Knowledge) -> str:
    best = best_of(known.tried)
    if best and best.outcome and best.outcome.passes:
        return "I submit: the tests that failed pass, and no other broke."
    return "I submit the best found; some tests still fail." if best else "I submit; the code is as it was."
