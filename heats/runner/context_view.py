"""What context rules see of the heat before: a read-only view made from the run store."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from core.ids import RolloutId, heat_name
from envs.tampering import signs_of_tampering
from heats.context_rules import Before, Earlier
from heats.runner.candidates import evidence_class
from heats.runner.context import reason_text, result_text
from heats.runner.rollout import TaskRun
from heats.runner.turns import is_paused, turns_of
from heats.runner.values import value_of
from tournament.base import Bracket, Candidate

_AGAINST = 8
_THIS = "this attempt"


@dataclass(frozen=True, slots=True)
class SharedView:
    """The part of a context rule's view that all rollouts of a heat share."""

    run: TaskRun
    heat: int
    shared: Before

    def of(self, index: int, *, fresh: bool) -> Before:
        """The view for one rollout.

        Args:
            index: number of the rollout in its heat.
            fresh: whether it belongs to `refine.fresh_share`.
        """
        return replace(
            self.shared,
            predecessor=str(RolloutId(self.heat - 1, index)),
            seed=self.run.services.seed(self.run.task.id, heat_name(self.heat), index, "context"),
            index=index,
            fresh=fresh,
        )


def view_before(
    run: TaskRun,
    heat: int,
    bracket: Bracket,
    candidates: Mapping[str, Candidate],
    *,
    summaries: bool,
    turns: bool,
    older: Mapping[str, Earlier],
) -> SharedView:
    """Read what the store holds of the heat before.

    Args:
        run: the task.
        heat: number of the heat that is planned.
        bracket: the tournament of the heat before.
        candidates: that heat's candidates, by id.
        summaries: include the summaries, which exist then. They are left out otherwise, because which of them exist
            would depend on when the run was interrupted.
        turns: include the attempts' turns.
        older: the attempts of the heats before that one.
    """
    against = _against(run, heat, bracket)
    attempts = {
        name: replace(
            as_node(run, one, bracket, turns=turns),
            candidate=one if summaries else one.model_copy(update={"summary": ""}),
            summary=run.store.rollout(name).summary() if summaries else None,
            passing=_passing(run, name),
            against=tuple(against.get(name, {})),
        )
        for name, one in candidates.items()
    }
    shared = Before(
        bracket=bracket,
        usable=tuple(one for one in bracket.ranking if not run.was_idle(one)),
        predecessor="",
        k=run.services.config.select_k,
        seed=0,
        heat_seed=run.services.seed(run.task.id, heat_name(heat), "context"),
        heat=heat,
        attempts=MappingProxyType(attempts),
        lost=MappingProxyType(_lost(run, heat, bracket)),
        older=MappingProxyType(dict(older)),
        heats=run.services.config.iterations,
        rollouts=run.services.config.rollouts,
    )
    return SharedView(run, heat, shared)


def as_node(run: TaskRun, candidate: Candidate, bracket: Bracket, *, turns: bool = True) -> Earlier:
    """A candidate with its place in the tree of attempts.

    Args:
        run: the task.
        candidate: the candidate.
        bracket: the tournament of its heat.
        turns: read its trajectory: its turns, and what it branched off.
    """
    files = run.store.rollout(candidate.id)
    trajectory, evidence, patch = files.trajectory() if turns else None, files.evidence(), files.patch()
    level = evidence_class(evidence.rank if evidence and patch else 0, signs_of_tampering(patch))
    order = [one for one in bracket.ranking if one not in bracket.ineligible]
    place = 1 - order.index(candidate.id) / len(order) if candidate.id in order else 0.0
    return Earlier(
        candidate=candidate.model_copy(update={"summary": ""}),
        turns=turns_of(trajectory, candidate.patch),
        paused=trajectory is not None and is_paused(trajectory),
        value=value_of(evidence, level, place),
        parents=trajectory.parents if trajectory is not None else (),
        copied=trajectory.copied_steps if trajectory is not None else 0,
    )


def _passing(run: TaskRun, rollout: str) -> float | None:
    evidence = run.store.rollout(rollout).evidence()
    tests = evidence.after.tests if evidence is not None and evidence.after is not None else {}
    ran = [outcome for outcome in tests.values() if outcome != "skipped"]
    return ran.count("passed") / len(ran) if ran else None


def _against(run: TaskRun, heat: int, bracket: Bracket) -> dict[str, dict[str, None]]:
    """Reasons against each attempt, in order and without duplicates: of votes for others and of rejecting verdicts."""
    found: dict[str, dict[str, None]] = {}
    players = {copy: player for player, copies in bracket.merged.items() for copy in copies}
    for stored in run.store.votes(heat - 1):
        for vote in stored.votes:
            alone = len(vote.order) == 1
            losers = vote.order if alone else tuple(one for one in vote.order if one != vote.choice)
            if not vote.reason or vote.choice is None or (alone and vote.labels != ("reject",)):
                continue
            for name in losers:
                reasons = found.setdefault(name, {})
                if len(reasons) < _AGAINST:
                    reasons[reason_text(vote, {name: _THIS})] = None
    return found | {copy: found[player] for copy, player in players.items() if player in found}


def _lost(run: TaskRun, heat: int, bracket: Bracket) -> dict[str, str]:
    """Why each rollout of the heat before was not kept."""
    players = {copy: player for player, copies in bracket.merged.items() for copy in copies}
    return {
        name: _why(run, name, bracket, players) for name in run.store.rollouts(heat - 1) if name not in bracket.selected
    }


def _why(run: TaskRun, name: str, bracket: Bracket, players: Mapping[str, str]) -> str:
    outcome = run.store.rollout(name).outcome()
    if name not in bracket.ranking:
        said = (outcome.error or outcome.detail or outcome.exit) if outcome is not None else ""
        return f"No attempt was made: {said or 'it did not finish'}"
    if name in players:
        return f"Makes the same change as {players[name]}."
    if name in bracket.ineligible:
        return f"Handed in no change: {outcome.exit if outcome is not None else 'unknown end'}."
    lost = [match for match in bracket.matches if name in match.contestants and match.winner != name]
    if not lost:
        return "Ranked below those kept."
    return " ".join(result_text(lost[-1], name, {one: one for one in bracket.ranking}).split())
