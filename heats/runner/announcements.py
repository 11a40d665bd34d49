"""Announce stored records in the event log, including those that a killed process stored without announcing them.

A record is durable before its event is written, so a process may end between the two.
"""

from collections.abc import Collection

from envs.base import Evidence
from heats.store.events import EventKind, EventLog, read_events
from heats.store.records import Outcome, TaskResult
from heats.store.store import RunStore

_ENDS: dict[EventKind, EventKind] = {
    "rollout_started": "rollout_finished",
    "verifying": "evidence",
    "task_started": "task_finished",
}
"""Events that begin something, each with the one that ends it."""


def announce_outcome(events: EventLog, task: str, outcome: Outcome) -> None:
    """Emit that a rollout ended."""
    data = outcome.model_dump(include={"exit", "detail", "steps", "duration_s", "patch_bytes", "error"})
    data |= {"tokens": outcome.usage.tokens, "cost_usd": outcome.usage.cost_usd}
    events.emit("rollout_finished", task=task, rollout=outcome.rollout, **data)


def announce_evidence(events: EventLog, task: str, rollout: str, evidence: Evidence) -> None:
    """Emit what verification found out about a rollout's patch."""
    data = evidence.model_dump(include={"verdict", "rank", "reason"})
    events.emit("evidence", task=task, rollout=rollout, **data)


def announce_result(events: EventLog, result: TaskResult) -> None:
    """Emit that a task ended."""
    data = result.model_dump(include={"status", "selected", "detail"})
    events.emit("task_finished", task=result.task, **data)


def announce_missing(store: RunStore, events: EventLog, tasks: Collection[str]) -> None:
    """Emit the events that are missing from the log of a resumed run.

    Args:
        store: the run's store.
        events: the run's event log.
        tasks: ids of the tasks that the run plays now.
    """
    announced: set[tuple[EventKind, str, str | None]] = set()
    missing: dict[tuple[EventKind, str, str | None], None] = {}
    for event in read_events(store.events_path):
        if event.task is None or event.task not in tasks:
            continue
        this = (event.kind, event.task, event.rollout)
        if event.kind == "heat_started":  # announced again when a heat goes on
            for name in event.data.get("rollouts") or ():
                if ("rollout_finished", event.task, name) not in announced:
                    missing["rollout_finished", event.task, name] = None
        elif event.kind in _ENDS:
            end = (_ENDS[event.kind], event.task, event.rollout)
            announced.discard(end)
            missing[end] = None
        else:
            announced.add(this)
            missing.pop(this, None)
    for kind, task, rollout in missing:
        files = store.task(task)
        if rollout is None:
            if (result := files.result()) is not None:
                announce_result(events, result)
        elif kind == "rollout_finished":
            outcome = files.rollout(rollout).outcome()
            if outcome is not None and outcome.failure is None:  # any other rollout goes on
                announce_outcome(events, task, outcome)
        elif (evidence := files.rollout(rollout).evidence()) is not None:
            announce_evidence(events, task, rollout, evidence)
