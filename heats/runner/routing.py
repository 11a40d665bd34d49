"""Routing of votes and summaries at work: decisions are stored before they act, and a resumed run repeats them.

`tasks/<task>/routing.jsonl` holds a line for each decision and each comparison. Agreement is measured over all tasks of
the run that this process knows; once the small model is dropped, the run stays with the large one.
"""

import random
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from agents.llm.base import ChatModel, Session
from agents.llm.session import in_session
from core.aio import together
from core.errors import InvalidOptions
from core.ids import heat_name
from heats.config import HeatsConfig
from heats.routing import RoutedKind
from heats.runner.model_mix import main_model
from heats.runner.services import Services
from heats.store.files import LineLog, read_lines
from heats.store.records import RoutingLine
from heats.store.store import RunStore, TaskStore
from summarizer.agreement import agrees
from summarizer.schema import Summary
from tournament.base import Journal, Judge, Route
from tournament.probe_judge import open_judge
from tournament.registry import routes_votes


def check_routing(config: HeatsConfig) -> None:
    """Check that the configured selector and summarizer can be routed.

    Raises:
        InvalidOptions: they cannot.
    """
    routing, tournament = config.routing, config.tournament
    if routing.votes and not routes_votes(tournament):
        raise InvalidOptions(
            f"routing.votes does not go with tournament.selector={tournament.selector}: use rtv or swiss"
        )
    if routing.votes and tournament.judge.view == "probe":
        raise InvalidOptions("routing.votes does not go with tournament.judge.view=probe: choose another view")
    if routing.summaries and config.summarizer.method not in ("model", "conversation"):
        raise InvalidOptions(f"routing.summaries does not go with summarizer.method={config.summarizer.method}")


Writing = Coroutine[Any, Any, Summary]


class Router:
    """What is known in this process about the agreement of both models.

    Args:
        services: the run's services.
        store: the run's store.
    """

    def __init__(self, services: Services, store: RunStore) -> None:
        self.config, self.events = services.config, services.events
        self.large: ChatModel = services.model_of(main_model(services.config))
        self.judge: Judge = open_judge(services.config.tournament, self.large)
        self._lines: dict[Path, list[RoutingLine]] = {}
        for path in sorted(store.directory.glob("tasks/*/routing.jsonl")):
            self.load(path)

    def load(self, path: Path) -> list[RoutingLine]:
        """Read a task's lines."""
        self._lines[path] = list(read_lines(path, RoutingLine))
        return self._lines[path]

    def lines(self, kind: RoutedKind) -> list[RoutingLine]:
        """All lines of one kind that are known, of all tasks."""
        return [line for lines in self._lines.values() for line in lines if line.kind == kind]

    def decide(self, kind: RoutedKind, task: str, unit: str) -> tuple[Route, str]:
        """Choose who answers, and say why.

        Args:
            kind: what is to be answered.
            task: ID of the task.
            unit: name of the match or the rollout, unique within the task.
        """
        routing, lines = self.config.routing, self.lines(kind)
        if any(line.switch for line in lines):
            return "large", "switched"
        if sum(line.route == "both" for line in lines) < routing.warm_up:
            return "both", "warm-up"
        drawn = random.Random(f"{self.config.seed}/routing/{kind}/{task}/{unit}").random()
        return ("both", "sample") if drawn < routing.sample else ("small", "")

    def comparison(self, kind: RoutedKind, unit: str, agree: bool) -> RoutingLine:
        """Make the line for a comparison; it says so if the large model takes over.

        Args:
            kind: what was answered by both models.
            unit: name of the match or the rollout.
            agree: whether the answers agree.
        """
        lines = self.lines(kind)
        before = sorted((line for line in lines if line.number), key=lambda line: line.number)
        line = RoutingLine(kind=kind, unit=unit, number=before[-1].number + 1 if before else 1, agree=agree)
        low = self.config.routing.too_low([bool(one.agree) for one in (*before, line)])
        if low is None or any(one.switch for one in lines):
            return line
        why = f"agreement {low} in the last {low.compared} is below {self.config.routing.agreement:g}"
        return line.model_copy(update={"switch": True, "why": why})


class TaskRouting:
    """The routing of one task.

    Args:
        router: what all tasks of the run share.
        files: the task's store.
    """

    def __init__(self, router: Router, files: TaskStore) -> None:
        self.router, self.files = router, files
        self._path = files.directory / "routing.jsonl"
        self._lines = router.load(self._path)

    def route(self, kind: RoutedKind, unit: str) -> Route:
        """Return the stored decision on a match or summary, or make and store it.

        Args:
            kind: what is to be answered.
            unit: name of the match or the rollout, unique within the task.
        """
        known = next(
            (line.route for line in self._lines if line.route and (line.kind, line.unit) == (kind, unit)), None
        )
        if known:
            return known
        route, why = self.router.decide(kind, self.files.task_id, unit)
        self._store(RoutingLine(kind=kind, unit=unit, route=route, why=why))
        return route

    def compared(self, kind: RoutedKind, unit: str, agree: bool) -> None:
        """Store whether both models' answers agree, and announce it if the large model takes over.

        Args:
            kind: what was answered by both models.
            unit: name of the match or the rollout; only its first comparison counts.
            agree: whether the answers agree.
        """
        if any(line.number and (line.kind, line.unit) == (kind, unit) for line in self._lines):
            return
        line = self.router.comparison(kind, unit, agree)
        self._store(line)
        if line.switch:
            text = f"routing.{kind}: {line.why}: from now on {self.router.large.name} answers"
            self.router.events.emit("warning", task=self.files.task_id, text=text)

    async def summary(self, rollout: str, small: ChatModel, write: Callable[[ChatModel], Writing]) -> Summary:
        """Have a rollout's summary written by the model it is routed to; of two summaries, the large model's counts.

        Args:
            rollout: ID of the rollout.
            small: the model that writes summaries while nothing is routed.
            write: writes the summary with a model.

        Raises:
            Whatever `write` raises.
        """
        route = self.route("summaries", rollout) if self.router.config.routing.summaries else "small"
        if route != "both":
            return await write(self.router.large if route == "large" else small)
        tried, counted = await together(write(model) for model in (small, self.router.large))
        agree = agrees(tried, counted)
        if agree is not None:
            self.compared("summaries", rollout, agree)
        return counted

    def votes(self, heat: int) -> "HeatVotes | None":
        """The routing of a heat's votes; None if votes are not routed. Close it after use."""
        return HeatVotes(self, heat) if self.router.config.routing.votes else None

    def _store(self, line: RoutingLine) -> None:
        log = LineLog(self._path)
        try:
            log.append(line)
        finally:
            log.close()
        self._lines.append(line)


class HeatVotes:
    """Routes the matches of one heat (`tournament.base.VoteRouting`).

    Args:
        task: the task's routing.
        heat: number of the heat.
    """

    def __init__(self, task: TaskRouting, heat: int) -> None:
        self.large: Judge = task.router.judge
        self._log = task.files.small_votes(heat)
        self.journal: Journal = self._log
        self._task, self._heat = task, heat

    def route(self, match_id: str, contestants: tuple[str, ...]) -> Route:
        """See `VoteRouting.route`."""
        return self._task.route("votes", self._unit(match_id, contestants))

    def compared(self, match_id: str, contestants: tuple[str, ...], *, agree: bool) -> None:
        """See `VoteRouting.compared`.

        Args:
            match_id: ID of the match.
            contestants: candidate IDs of the match.
            agree: whether both judges chose the same candidate.
        """
        self._task.compared("votes", self._unit(match_id, contestants), agree)

    def close(self) -> None:
        """Close the small model's journal."""
        self._log.close()

    def _unit(self, match_id: str, contestants: Sequence[str]) -> str:
        return f"{heat_name(self._heat)}/{match_id}: {' '.join(contestants)}"


async def written(
    routing: TaskRouting | None, rollout: str, small: ChatModel, write: Callable[..., Writing], session: Session
) -> Summary:
    """Have a rollout's summary written, each request in its session.

    Args:
        routing: chooses the model; None for `small`.
        rollout: ID of the rollout.
        small: the model that writes summaries while nothing is routed.
        write: writes the summary; receives `model`.
        session: the session of the requests.

    Raises:
        Whatever `write` raises.
    """

    async def with_model(model: ChatModel) -> Summary:
        async with in_session(model, session):
            return await write(model=model)

    return await (routing.summary(rollout, small, with_model) if routing is not None else with_model(small))
