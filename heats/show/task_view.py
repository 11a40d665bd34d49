"""What the report's page of one task says, gathered from its records and cut to size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agents.trajectory import Observation, Step, Trajectory
from envs.base import Evidence
from heats.events import Event
from heats.files import slug
from heats.show import words as say
from heats.show.diffs import DiffView, read_diff
from heats.show.drawings import BracketDrawing, TimeLine, decided, draw_bracket, draw_timeline
from heats.show.reading import Basis, RolloutFacts, TaskFacts, statement
from heats.show.sanitize import cut, one_line
from heats.show.timeline import task_rows
from heats.store import RunStore
from summarizer.schema import Summary
from tournament.base import Match

SMALLEST_FIELD, LARGEST_FIELD = 400, 6_000
MAX_STATEMENT = 20_000
MAX_LISTED_TESTS = 200
MAX_STEPS = 400
MAX_PATCH = 120_000


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a trajectory."""

    anchor: str
    number: int
    source: str
    title: str
    bad: bool
    text: str
    reasoning: str
    commands: tuple[tuple[str, str], ...]
    results: tuple[tuple[str, bool, str], ...]
    about: str


@dataclass(frozen=True, slots=True)
class RolloutView:
    """One rollout."""

    anchor: str
    id: str
    short: str
    facts: RolloutFacts
    passed: bool | None
    kept: bool
    selected: bool
    diff: DiffView | None
    same_as: str
    summary: Summary | None
    tests: "TestsView | None"
    steps: tuple[StepView, ...]
    steps_left_out: int
    parents: tuple[str, ...]
    spent: str


@dataclass(frozen=True, slots=True)
class MatchView:
    """One match with its votes in words."""

    anchor: str
    match: Match
    how: str
    tally: tuple[tuple[str, int | None], ...]
    reasons: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class HeatView:
    """One heat."""

    number: int
    rollouts: tuple[RolloutView, ...]
    bracket: BracketDrawing | None
    matches: tuple[MatchView, ...]
    merged: tuple[tuple[str, tuple[str, ...]], ...]
    kept: tuple[str, ...]


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
class TaskView:
    """One task's page."""

    slug: str
    facts: TaskFacts
    status: str
    statement: str
    heats: tuple[HeatView, ...]
    chosen: RolloutView | None
    patch: DiffView | None
    tests: TestsView | None
    timeline: TimeLine | None
    spent: str
    passed: dict[str, bool | None] = field(default_factory=dict)
    """By rollout id."""


def view_task(run: RunStore, facts: TaskFacts, basis: Basis, events: Sequence[Event], budget: int) -> TaskView:
    """Gather a task's page.

    Args:
        events: the task's own.
        budget: about how many characters of trajectories the page may hold; fields are cut accordingly.
    """
    place = slug(facts.id)
    trajectories = {one.id: facts.store.rollout(one.id).trajectory() for one in facts.rollouts()}
    steps = sum(len(one.steps) for one in trajectories.values() if one is not None)
    limit = min(max(budget // max(2 * steps, 1), SMALLEST_FIELD), LARGEST_FIELD)
    seen: dict[str, str] = {}
    heats = []
    for number, rollouts in enumerate(facts.heats):
        views = tuple(_rollout(place, facts, one, trajectories[one.id], (basis, limit, seen)) for one in rollouts)
        heats.append(_heat(place, facts, number, views))
    everyone = [one for heat in heats for one in heat.rollouts]
    first = next((one for one in trajectories.values() if one is not None), None)
    evidence = facts.result.evidence if facts.result is not None else None
    return TaskView(
        slug=place,
        facts=facts,
        status=facts.result.status if facts.result is not None else "running",
        statement=cut(statement(facts.store, first), MAX_STATEMENT),
        heats=tuple(heats),
        chosen=next((one for one in everyone if one.selected), None),
        patch=_chosen_patch(facts),
        tests=_tests(evidence) if evidence is not None else None,
        timeline=draw_timeline(task_rows(events)),
        spent=say.spent(facts.result.usage) if facts.result is not None else "",
        passed={one.id: one.passed for one in everyone},
    )


def _chosen_patch(facts: TaskFacts) -> DiffView | None:
    patch = facts.store.rollout(facts.selected).patch() if facts.selected is not None else None
    return read_diff(patch.data, MAX_PATCH) if patch else None


def _heat(place: str, facts: TaskFacts, number: int, rollouts: tuple[RolloutView, ...]) -> HeatView:
    bracket = facts.brackets[number]
    return HeatView(
        number=number,
        rollouts=rollouts,
        bracket=draw_bracket(bracket) if bracket is not None and bracket.rounds else None,
        matches=tuple(_match(place, number, one) for played in bracket.rounds for one in played) if bracket else (),
        merged=tuple((one, tuple(others)) for one, others in bracket.merged.items() if others) if bracket else (),
        kept=bracket.selected if bracket is not None else (),
    )


def _match(place: str, heat: int, match: Match) -> MatchView:
    tally = {one: sum(vote.choice == one for vote in match.votes) for one in match.contestants}
    reasons = tuple((vote.choice or "", cut(vote.reason, 1200)) for vote in match.votes)
    shown = tuple((one, votes if match.votes else None) for one, votes in tally.items())
    return MatchView(f"{place}/heat-{heat}/{match.id}", match, decided(match), shown, reasons)


def _rollout(
    place: str,
    task: TaskFacts,
    facts: RolloutFacts,
    trajectory: Trajectory | None,
    how: tuple[Basis, int, dict[str, str]],
) -> RolloutView:
    basis, limit, seen = how
    files = task.store.rollout(facts.id)
    patch, anchor = files.patch(), f"{place}/{facts.id}"
    same_as = seen.setdefault(patch.sha256, facts.id) if patch else facts.id
    steps = trajectory.steps if trajectory is not None else ()
    heat = int(facts.id.partition("/")[0].removeprefix("heat-"))
    return RolloutView(
        anchor=anchor,
        id=facts.id,
        short=say.short(facts.id),
        facts=facts,
        passed=None if facts.infrastructure_failed else facts.passed(basis),
        kept=facts.id in task.kept(heat),
        selected=facts.id == task.selected,
        diff=read_diff(patch.data, MAX_PATCH) if patch and same_as == facts.id else None,
        same_as="" if same_as == facts.id else same_as,
        summary=files.summary(),
        tests=_tests(facts.evidence) if facts.evidence is not None else None,
        steps=tuple(_step(anchor, step, limit) for step in steps[:MAX_STEPS]),
        steps_left_out=max(len(steps) - MAX_STEPS, 0),
        parents=trajectory.parents if trajectory is not None else (),
        spent=say.spent(facts.outcome.usage) if facts.outcome is not None else "",
    )


def _step(anchor: str, step: Step, limit: int) -> StepView:
    commands = tuple((call.name, cut(say.command(call.arguments), limit)) for call in step.tool_calls)
    results = tuple(_result(one, limit) for one in step.observations)
    title = commands[0][1] if commands else step.content
    about = [f"{say.count(step.usage.tokens)} tokens"] if step.usage is not None else []
    about += [say.duration(one.duration_s) for one in step.observations if one.duration_s]
    return StepView(
        anchor=f"{anchor}/{step.id}",
        number=step.id,
        source=step.source,
        title=one_line(title, 140),
        bad=any(bad for _, bad, _ in results),
        text=cut(step.content, limit),
        reasoning=cut(step.reasoning or "", limit),
        commands=commands,
        results=results,
        about=" \u00b7 ".join(about),
    )


def _result(one: Observation, limit: int) -> tuple[str, bool, str]:
    code = f"exit code {one.exit_code}" if one.exit_code is not None else one.status.replace("_", " ")
    return code, one.exit_code != 0, cut(one.content, limit)


def _tests(evidence: Evidence) -> TestsView:
    reports = [one for one in (evidence.after, evidence.before) if one is not None]
    return TestsView(
        before=say.tests(evidence.before),
        after=say.tests(evidence.after),
        command=one_line(reports[0].command, 400) if reports else "",
        changes=tuple(_changes(evidence)),
        output=cut(reports[0].output, LARGEST_FIELD) if reports and evidence.after is not None else "",
    )


def _changes(evidence: Evidence) -> Iterator[tuple[str, str, tuple[str, ...], int]]:
    groups = (
        ("fixed", "good", evidence.fixed),
        ("broken", "bad", evidence.broken),
        ("still failing", "weak", evidence.still_failing),
        ("protected files put back", "weak", evidence.restored),
    )
    for name, tone, tests in groups:
        if tests:
            shown = tuple(one_line(test, 300) for test in tests[:MAX_LISTED_TESTS])
            yield name, tone, shown, len(tests)
