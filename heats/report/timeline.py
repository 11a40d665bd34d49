"""Time lines from a run's events: who worked when."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from pydantic import ValidationError

from heats import formatting as say
from heats.report.drawings import Period
from heats.store.events import RunEvent, standing_matches
from heats.store.store import RunStore
from heats.view.live_model import number, word

MAX_ROWS = 200


def seconds(event: RunEvent) -> float | None:
    """When an event was written, in seconds since the epoch; None if its time cannot be parsed."""
    try:
        return datetime.fromisoformat(event.time).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


_NOT_DRAWN = (b'"kind":"rollout_step"', b'"kind":"votes"')
"""Steps and votes: by far the most frequent events of a run, and in no time line."""


def drawn_events(run: RunStore) -> Iterator[RunEvent]:
    """The events of a run except single steps and votes; incomplete or invalid lines are skipped."""
    if not run.events_path.exists():
        return
    with run.events_path.open("rb") as lines:
        for line in lines:
            if not any(kind in line[:120] for kind in _NOT_DRAWN):
                try:
                    yield RunEvent.model_validate_json(line)
                except ValidationError:
                    continue


def by_task(events: Iterable[RunEvent]) -> dict[str, list[RunEvent]]:
    """The events of each task."""
    found: dict[str, list[RunEvent]] = defaultdict(list)
    for event in events:
        if event.task is not None:
            found[event.task].append(event)
    return found


def task_rows(events: Sequence[RunEvent]) -> list[tuple[str, list[Period]]]:
    """Rows of one task: each rollout with its evidence and summary, and the matches of each heat."""
    rows: dict[str, list[Period]] = {}
    last: dict[str, float] = {}
    played = {event.seq for event in standing_matches(events) if event.data.get("decided_by") != "bye"}
    for event in events:
        moment = seconds(event)
        if moment is None:
            continue
        if event.rollout is not None:
            _rollout(rows, last, event, moment)
        elif event.seq in played:
            heat = int(number(event.data, "heat"))
            who = f"{say.short(word(event.data, 'winner'))} wins {word(event.data, 'match')}"
            rows.setdefault(f"heat {heat} matches", []).append(Period("match", moment, moment, who))
    return list(rows.items())[:MAX_ROWS]


def _rollout(rows: dict[str, list[Period]], last: dict[str, float], event: RunEvent, moment: float) -> None:
    name = event.rollout or ""
    kinds = {"rollout_finished": "rollout", "evidence": "evidence", "summarized": "summary"}
    if event.kind == "rollout_started":
        rows.setdefault(name, [])
    elif event.kind in kinds and name in last:
        kind = kinds[event.kind]
        said = {
            "rollout": f"{word(event.data, 'exit') or 'no attempt'}, {int(number(event.data, 'steps'))} steps",
            "evidence": f"evidence: {word(event.data, 'verdict')}",
            "summary": "summary",
        }[kind]
        span = Period(kind, last[name], moment, f"{name}: {said}, {say.duration(moment - last[name])}")
        rows.setdefault(name, []).append(span)
    else:
        return
    last[name] = moment


def run_rows(events: dict[str, list[RunEvent]]) -> list[tuple[str, list[Period]]]:
    """Rows of a run: one bar per task, from its start to its end."""
    rows = []
    for task, own in events.items():
        moments = [moment for event in own if (moment := seconds(event)) is not None]
        if moments:
            ended = next((event for event in own if event.kind == "task_finished"), None)
            kind = f"status-{word(ended.data, 'status')}" if ended is not None else "status-running"
            text = f"{task}: {say.duration(max(moments) - min(moments))}"
            rows.append((task, [Period(kind, min(moments), max(moments), text)]))
    return rows
