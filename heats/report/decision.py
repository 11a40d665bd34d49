"""The facts needed to decide on a patch: the change, what was not checked, and the strongest alternative.

Prose here is heats' own; text by a model or a judge stays in separate fields, for code spans.
"""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from core.sanitize import one_line
from envs.base import Evidence
from heats import formatting as say
from heats.store.reader import RolloutFacts, TaskFacts
from tournament.base import Bracket, Match
from tournament.reasons import resolved, tally

MOST = 8


class _Facts(BaseModel):
    """Frozen, closed and small records, which travel in the bundle of a proposal."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rival(_Facts):
    """The strongest candidate with a different change.

    Attributes:
        did: the rollout's own description of what it did.
        evidence: its test results, in one line.
        lost: how the match was decided, in heats' words; `reason` is a judge's, for the winner.
    """

    id: str = Field(max_length=400)
    did: str = Field("", max_length=600)
    patch_bytes: int = Field(0, ge=0)
    evidence: str = Field("", max_length=400)
    lost: str = Field("", max_length=400)
    reason: str = Field("", max_length=400)


class Decision(_Facts):
    """One candidate, as the person who decides needs to know it.

    Attributes:
        change: what it changes, in the rollout's words; `decisions`: why.
        files: files it touches, with the numbers of lines added and removed.
        doubts: the rollout's own doubts.
        unchecked: what heats did not check, or could not settle.
    """

    change: str = Field("", max_length=1200)
    decisions: tuple[str, ...] = Field((), max_length=MOST)
    files: tuple[str, ...] = Field((), max_length=40)
    added: int = Field(0, ge=0)
    removed: int = Field(0, ge=0)
    doubts: tuple[str, ...] = Field((), max_length=MOST)
    unchecked: tuple[str, ...] = Field((), max_length=20)
    rival: Rival | None = None


def read_decision(task: TaskFacts, chosen: RolloutFacts) -> Decision:
    """Collect the facts from a task's records."""
    summary = task.store.rollout(chosen.id).summary()
    told = {} if summary is None else {"change": one_line(summary.progress or summary.end_state, 1000)}
    facts = summary.facts if summary is not None else None
    return Decision(
        **told,
        decisions=tuple(one_line(one, 300) for one in summary.decisions[:MOST]) if summary is not None else (),
        files=tuple(one_line(one, 160) for one in facts.files[:40]) if facts is not None else (),
        added=facts.lines_added if facts is not None else 0,
        removed=facts.lines_removed if facts is not None else 0,
        doubts=tuple(one_line(one, 300) for one in summary.doubts[:MOST]) if summary is not None else (),
        unchecked=tuple(_unchecked(task, chosen)),
        rival=_rival(task, chosen),
    )


def _unchecked(task: TaskFacts, chosen: RolloutFacts) -> Iterator[str]:
    evidence = chosen.evidence
    if evidence is None:
        yield "Nothing was executed to check it: there is no test command, or evidence is turned off."
    else:
        yield from _open_in(evidence)
    if chosen.outcome is not None and chosen.outcome.exit not in ("submitted", None):
        yield f"The attempt did not submit its work; it ended with: {say.ending(chosen.outcome.exit)}."
    if chosen.outcome is not None:
        yield from (f"About its patch: {one_line(note, 200)}." for note in chosen.outcome.notes[:MOST])
    matches = [match for bracket in task.brackets if bracket is not None for match in _of(bracket, chosen.id)]
    if task.result is not None and task.result.by_chance:
        yield "It was chosen at random, because no vote on it could be read."
    lost = sum(vote.choice is None for match in matches for vote in match.votes)
    if lost:
        every = sum(len(match.votes) for match in matches)
        yield f"{lost} of the {say.several(every, 'vote')} in its matches could not be read."
    if matches and matches[-1].decided_by == "tie-break":
        yield "The votes of its last match were tied; a tie-break decided."


def _open_in(evidence: Evidence) -> Iterator[str]:
    """What the tests leave open."""
    before, after = evidence.before, evidence.after
    if evidence.verdict != "verified":
        yield "The tests that ran do not prove it."
    if before is not None and before.status == "passed":
        yield "The tests also pass without it, so they do not cover the change."
    if after is not None and not after.tests:
        yield "Only the exit code of the test command is known; no results of single tests could be read."
    if evidence.still_failing:
        tests = say.several(len(evidence.still_failing), "test")
        yield f"{tests} fail with and without it, and say nothing about it."
    if evidence.restored:
        files = say.several(len(evidence.restored), "file")
        yield f"What it changes in {files} of tests or test settings was restored for the check and did not count."


def _rival(task: TaskFacts, chosen: RolloutFacts) -> Rival | None:
    """The last candidate with a different change that it beat, else the next in the ranking."""
    for bracket in reversed(task.brackets):
        if bracket is None or chosen.id not in bracket.ranking:
            continue
        same = _same(bracket, chosen.id)
        won = [match for match in _of(bracket, chosen.id) if match.winner == chosen.id]
        beaten = [(one, match) for match in reversed(won) for one in _losers(match) if one not in same]
        others: list[tuple[str, Match | None]] = [*beaten, *((one, None) for one in bracket.ranking if one not in same)]
        for name, match in others:
            facts = task.find(name)
            if facts is not None and facts.outcome is not None and facts.outcome.patch_bytes:
                return _as_rival(task, chosen, facts, match)
    return None


def _as_rival(task: TaskFacts, chosen: RolloutFacts, rival: RolloutFacts, match: Match | None) -> Rival:
    summary = task.store.rollout(rival.id).summary()
    told = (summary.progress or summary.problem) if summary is not None else ""
    return Rival(
        id=rival.id,
        did=one_line(told, 400),
        patch_bytes=rival.outcome.patch_bytes if rival.outcome is not None else 0,
        evidence=one_line(rival.evidence.reason, 240) if rival.evidence is not None else "",
        lost=_lost(chosen.id, rival.id, match),
        reason=_reason(chosen.id, match),
    )


def _lost(chosen: str, rival: str, match: Match | None) -> str:
    if match is None:
        return "it ranked lower; the two did not meet"
    votes = tally(match)
    count = f"votes {votes.get(chosen, 0):.3g} to {votes.get(rival, 0):.3g}" if match.votes else "no votes"
    how = {"evidence": "decided by executed evidence", "tie-break": f"a tie ({count}), settled by a tie-break"}
    how["critic"] = "decided by the critic's scores"
    how["unheard"] = "no vote on the two could be read, so the choice was random"
    return how.get(match.decided_by, count)


def _reason(chosen: str, match: Match | None) -> str:
    votes = match.votes if match is not None else ()
    return one_line(next((resolved(vote) for vote in votes if vote.choice == chosen and vote.reason), ""), 300)


def _of(bracket: Bracket, rollout: str) -> list[Match]:
    return [match for played in bracket.rounds for match in played if rollout in match.contestants]


def _losers(match: Match) -> list[str]:
    """The losers of a match, those with the most votes first."""
    others = [one for one in match.contestants if one != match.winner]
    return sorted(others, key=lambda one: -sum(vote.choice == one for vote in match.votes))


def _same(bracket: Bracket, rollout: str) -> set[str]:
    """The rollouts that made the same patch, including this one."""
    groups = ({first, *others} for first, others in bracket.merged.items())
    return next((group for group in groups if rollout in group), {rollout})
