"""The data of one task's report page, gathered from its records and truncated to fit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from agents.trajectory import Trajectory
from core.ids import RolloutId
from core.sanitize import excerpt, one_line
from envs.base import Evidence
from heats import formatting as say
from heats.report.cross_view import CrossView, view_cross
from heats.report.decision import Decision, read_decision
from heats.report.drawings import BracketDrawing, TimeLine, decided, draw_bracket, draw_timeline
from heats.report.judge_bias import judge_line
from heats.report.patches import PatchView, read_patches
from heats.report.steps import steps_html
from heats.report.timeline import task_rows
from heats.store.events import RunEvent
from heats.store.files import slug
from heats.store.reader import Basis, RolloutFacts, TaskFacts, statement
from heats.store.store import RunStore
from summarizer.schema import Summary
from tournament.base import Match
from tournament.reasons import resolved, tally

SMALLEST_FIELD, LARGEST_FIELD = 400, 6_000
MAX_STATEMENT = 20_000
MAX_LISTED_TESTS = 200
MAX_STEPS = 400


@dataclass(frozen=True, slots=True)
class RolloutSection:
    """One rollout."""

    anchor: str
    id: str
    short: str
    facts: RolloutFacts
    passed: bool | None
    kept: bool
    selected: bool
    patch: PatchView | None
    summary: Summary | None
    tests: "TestsView | None"
    steps: Markup
    steps_left_out: int
    parents: tuple[str, ...]
    spent: str


@dataclass(frozen=True, slots=True)
class MatchSection:
    """One match, with its votes in words."""

    anchor: str
    match: Match
    how: str
    tally: tuple[tuple[str, str | None], ...]
    reasons: tuple[tuple[str, str, bool], ...]
    """Candidate, reason, and whether the vote would differ if comments were shown."""


@dataclass(frozen=True, slots=True)
class HeatView:
    """One heat."""

    number: int
    rollouts: tuple[RolloutSection, ...]
    bracket: BracketDrawing | None
    matches: tuple[MatchSection, ...]
    merged: tuple[tuple[str, tuple[str, ...]], ...]
    kept: tuple[str, ...]
    cross: CrossView | None
    judge: str


@dataclass(frozen=True, slots=True)
class TestsView:
    """Tests before and after."""

    __test__ = False

    before: str
    after: str
    command: str
    changes: tuple[tuple[str, str, tuple[str, ...], int], ...]
    output: str


@dataclass(frozen=True, slots=True)
class TaskSection:
    """One task's page."""

    slug: str
    facts: TaskFacts
    status: str
    detail: str
    statement: str
    heats: tuple[HeatView, ...]
    chosen: RolloutSection | None
    patches: tuple[PatchView, ...]
    tests: TestsView | None
    timeline: TimeLine | None
    spent: str
    passed: dict[str, bool | None] = field(default_factory=dict)
    """By rollout id."""
    decision: Decision | None = None

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Navigation targets of the page."""
        found = [("Patch", "patch")] if any(patch.selected for patch in self.patches) else []
        found += [(f"Heat {heat.number}", f"heat-{heat.number}") for heat in self.heats]
        found += [("Patches", "patches")] if len(self.patches) > 1 else []
        found += [("Timeline", "time")] if self.timeline is not None else []
        return tuple((name, f"#{self.slug}/{where}") for name, where in found)


@dataclass(frozen=True, slots=True)
class PageBudget:
    """Maximum characters of a page's trajectories (approximate; fields are cut accordingly) and coloured source."""

    text: int
    colours: int


@dataclass(frozen=True, slots=True)
class _How:
    """What all parts of a page have in common; `limit` is in characters per field."""

    place: str
    task: TaskFacts
    basis: Basis
    limit: int
    patches: Mapping[str, PatchView]


def view_task(
    run: RunStore, facts: TaskFacts, basis: Basis, events: Sequence[RunEvent], budget: PageBudget
) -> TaskSection:
    """Gather the data of a task's page.

    Args:
        run: the run.
        facts: the task's records.
        basis: the definition of success used.
        events: the task's events.
        budget: maximum size of the page.
    """
    place = slug(facts.id)
    trajectories = {one.id: facts.store.rollout(one.id).trajectory() for one in facts.rollouts()}
    steps = sum(len(one.steps) for one in trajectories.values() if one is not None)
    limit = min(max(budget.text // max(2 * steps, 1), SMALLEST_FIELD), LARGEST_FIELD)
    patches = read_patches(place, facts, basis, budget.colours)
    how = _How(place, facts, basis, limit, patches)
    heats = []
    for number, rollouts in enumerate(facts.heats):
        heats.append(_heat(how, number, tuple(_rollout(how, one, trajectories[one.id]) for one in rollouts)))
    everyone = [one for heat in heats for one in heat.rollouts]
    first = next((one for one in trajectories.values() if one is not None), None)
    ended = facts.result or facts.failed
    return TaskSection(
        slug=place,
        facts=facts,
        status=facts.ending(basis),
        detail=ended.detail if ended is not None else "",
        statement=excerpt(statement(facts.store, first), MAX_STATEMENT),
        heats=tuple(heats),
        chosen=next((one for one in everyone if one.selected), None),
        patches=tuple(patches.values()),
        tests=_tests(ended.evidence) if ended is not None and ended.evidence is not None else None,
        timeline=draw_timeline(task_rows(events)),
        spent=say.spent(ended.usage) if ended is not None else "",
        passed={one.id: one.passed for one in everyone},
        decision=read_decision(facts, selected) if (selected := facts.find(facts.selected)) is not None else None,
    )


def _heat(how: _How, number: int, rollouts: tuple[RolloutSection, ...]) -> HeatView:
    bracket = how.task.brackets[number]
    matches = (one for played in bracket.rounds for one in played) if bracket is not None else ()
    return HeatView(
        number=number,
        rollouts=rollouts,
        bracket=draw_bracket(bracket) if bracket is not None and bracket.rounds else None,
        matches=tuple(_match(how.place, number, one) for one in matches),
        merged=tuple((one, tuple(others)) for one, others in bracket.merged.items() if others) if bracket else (),
        kept=bracket.selected if bracket is not None else (),
        cross=view_cross(how.task, number),
        judge=judge_line(bracket) if bracket is not None else "",
    )


def _match(place: str, heat: int, match: Match) -> MatchSection:
    reasons = tuple(
        (vote.choice or "", excerpt(resolved(vote, say.short), 1200), vote.presentation_sensitive)
        for vote in match.votes
    )
    shown = tuple((one, say.votes(votes) if match.votes else None) for one, votes in tally(match).items())
    return MatchSection(f"{place}/heat-{heat}/{match.id}", match, decided(match), shown, reasons)


def _rollout(how: _How, facts: RolloutFacts, trajectory: Trajectory | None) -> RolloutSection:
    task, anchor = how.task, f"{how.place}/{facts.id}"
    outcome = facts.outcome
    steps = trajectory.steps if trajectory is not None else ()
    heat = RolloutId.parse(facts.id).heat
    return RolloutSection(
        anchor=anchor,
        id=facts.id,
        short=say.short(facts.id),
        facts=facts,
        passed=None if facts.infrastructure_failed else facts.passed(how.basis),
        kept=facts.id in task.kept(heat),
        selected=facts.id == task.selected,
        patch=how.patches.get(outcome.patch_sha256) if outcome is not None else None,
        summary=task.store.rollout(facts.id).summary(),
        tests=_tests(facts.evidence) if facts.evidence is not None else None,
        steps=steps_html(anchor, steps[:MAX_STEPS], how.limit),
        steps_left_out=max(len(steps) - MAX_STEPS, 0),
        parents=trajectory.parents if trajectory is not None else (),
        spent=say.spent(outcome.usage) if outcome is not None else "",
    )


def _tests(evidence: Evidence) -> TestsView:
    reports = [one for one in (evidence.after, evidence.before) if one is not None]
    return TestsView(
        before=say.tests(evidence.before),
        after=say.tests(evidence.after),
        command=one_line(reports[0].command, 400) if reports else "",
        changes=tuple(_changes(evidence)),
        output=excerpt(reports[0].output, LARGEST_FIELD) if reports and evidence.after is not None else "",
    )


def _changes(evidence: Evidence) -> Iterator[tuple[str, str, tuple[str, ...], int]]:
    groups = (
        ("fixed", "good", evidence.fixed),
        ("broken", "bad", evidence.broken),
        ("still failing", "weak", evidence.still_failing),
        ("protected files restored", "weak", evidence.restored),
    )
    for name, tone, tests in groups:
        if tests:
            shown = tuple(one_line(test, 300) for test in tests[:MAX_LISTED_TESTS])
            yield name, tone, shown, len(tests)
