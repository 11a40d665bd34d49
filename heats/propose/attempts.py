"""The alternatives that were tried and how the choice was made, as facts small enough for a pull request."""

from pydantic import Field

from core.record import Record
from core.sanitize import one_line
from envs.base import Verdict
from heats import formatting as say
from heats.store.reader import RolloutFacts, TaskFacts
from tournament.base import Decision, Match
from tournament.reasons import resolved, tally


class TriedRollout(Record):
    """One rollout. `did` is the rollout's own description of what it did."""

    id: str = Field(max_length=400)
    heat: int = Field(ge=0)
    ending: str = Field(max_length=200)
    steps: int = Field(0, ge=0)
    patch_bytes: int = Field(0, ge=0)
    verdict: Verdict | None = None
    reason: str = Field("", max_length=400)
    did: str = Field("", max_length=400)
    kept: bool = False
    selected: bool = False


class PlayedMatch(Record):
    """One match of the chosen rollout. `tally` counts votes by rollout; `reason` is from one judge."""

    heat: int = Field(ge=0)
    match: str = Field(max_length=200)
    rivals: tuple[str, ...] = Field((), max_length=64)
    tally: dict[str, float] = {}
    abstained: int = Field(0, ge=0)
    won: bool = True
    decided_by: Decision
    reason: str = Field("", max_length=400)


def read_attempts(task: TaskFacts) -> tuple[TriedRollout, ...]:
    """Every rollout, in order, except that kept and selected ones come first, so that they are never left out."""
    found = [_attempt(task, heat, one) for heat, heat_facts in enumerate(task.heats) for one in heat_facts]
    return tuple(sorted(found, key=lambda one: not (one.kept or one.selected)))


def _attempt(task: TaskFacts, heat: int, one: RolloutFacts) -> TriedRollout:
    summary = task.store.rollout(one.id).summary() if one.outcome is not None else None
    told = (summary.progress or summary.problem) if summary is not None else ""
    return TriedRollout(
        id=one.id,
        heat=heat,
        ending=say.ending(one.outcome.exit) if one.outcome is not None else "not finished",
        steps=one.outcome.steps if one.outcome is not None else 0,
        patch_bytes=one.outcome.patch_bytes if one.outcome is not None else 0,
        verdict=one.evidence.verdict if one.evidence is not None else None,
        reason=one_line(one.evidence.reason, 160) if one.evidence is not None else "",
        did=one_line(told, 240),
        kept=one.id in task.kept(heat),
        selected=one.id == task.selected,
    )


def read_contests(task: TaskFacts, rollout: str) -> tuple[PlayedMatch, ...]:
    """The matches that a rollout played."""
    return tuple(
        _contest(heat, match, rollout)
        for heat, bracket in enumerate(task.brackets)
        for match in (bracket.matches if bracket else ())
        if rollout in match.contestants
    )


def _contest(heat: int, match: Match, rollout: str) -> PlayedMatch:
    unheard, count = match.decided_by == "unheard", tally(match)
    telling = (resolved(vote) for vote in match.votes if (unheard or vote.choice == match.winner) and vote.reason)
    return PlayedMatch(
        heat=heat,
        match=one_line(match.id),
        rivals=tuple(one for one in match.contestants if one != rollout)[:64],
        tally={one: count[one] for one in match.contestants[:64]},
        abstained=sum(vote.choice is None for vote in match.votes),
        won=match.winner == rollout,
        decided_by=match.decided_by,
        reason=one_line(next(telling, ""), 240),
    )
