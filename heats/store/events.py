"""The event stream of a run: what happened, in order, one JSON object per line.

Progress displays and reports are built from it. An event is written after the record it refers to is durable, so a
reader that sees `rollout_finished` finds the trajectory.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from agents.llm.replies import without_surrogates
from core.record import Record
from heats.store.files import LineLog, read_lines

EventKind = Literal[
    "run_started",  # command, tasks: ids, rollouts, iterations, select_k, group_size, votes, model, sandbox
    "run_resumed",  # the same
    "left_out",  # reasons, by the name of what was requested and cannot be used
    "task_started",
    "baseline",  # status, passed, failed: the task's own tests on the unpatched tree
    "heat_started",  # heat, rollouts, context: ids of the refinement context
    "rollout_started",
    "rollout_step",  # step, command: its first 200 characters, or those of a reply without a call, exit_code
    "rollout_finished",  # exit, detail, steps, duration_s, tokens, cost_usd, patch_bytes
    "verifying",  # the tests are running on this rollout's patch
    "evidence",  # verdict, rank, reason
    "summarized",  # source
    "crossing",  # heat, done, total: runs of the project's tests and of those that attempts wrote, on patches
    "crossed",  # heat, tests, counting: numbers of tests that attempts wrote, voices: authors, ranks: by candidate;
    # existing: number of the project's own tests, breaking: of candidates that break one of them
    "votes",  # heat, match, contestants, choices: a candidate id or null for each new vote; shares: if votes have them
    "match",  # heat, match, contestants, winner, decided_by; detail: why no vote could be read
    "match_dropped",  # heat, match, contestants, winner: a match announced before that no longer counts
    "selected",  # heat, selected: ids, final: bool
    "policy",  # heat, action, why: what the allocation policy decided, where it gives a reason
    "verified",  # verdict, reason
    "grading",  # rollouts: those being graded by hidden tests; none when that is over
    "graded",  # outcome
    "noted",  # writer, changes: number of changes to the bank
    "task_finished",  # status, selected, detail
    "warning",  # text
    "server",  # model, vllm: version, context_length, seconds, and the server's counters for this time (`Counters`)
    "run_finished",  # statuses: number of tasks by status
]


class RunEvent(Record):
    """One line of `events.jsonl`. `seq` orders events; `time` (ISO 8601, UTC) is for display only."""

    seq: int
    time: str
    kind: EventKind
    task: str | None = None
    rollout: str | None = None
    """`heat-0/rollout-03`."""
    data: dict[str, Any] = {}


Listener = Callable[[RunEvent], None]


class EventLog:
    """Appends events to a file and hands each to the listeners. One writer per run, held by the run's lock."""

    def __init__(self, path: Path) -> None:
        self._lines = LineLog(path)
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._seq = max((event.seq for event in read_events(path)), default=0)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every event from now on, in order, on the emitting thread."""
        self._listeners.append(listener)

    def emit(self, kind: EventKind, *, task: str | None = None, rollout: str | None = None, **data: Any) -> RunEvent:
        """Append one event and pass it to the listeners.

        Args:
            kind: kind of event.
            task: id of the task, if it concerns one.
            rollout: id of the rollout, if it concerns one.
            data: further fields, as listed at `EventKind`.
        """
        with self._lock:
            self._seq += 1
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            event = RunEvent(
                seq=self._seq, time=now, kind=kind, task=task, rollout=rollout, data=without_surrogates(data)
            )
            self._lines.append(event, sync=False)
        for listener in self._listeners:
            listener(event)
        return event

    def close(self) -> None:
        """Close the file; the log takes no more events."""
        self._lines.close()


def read_events(path: Path) -> Iterator[RunEvent]:
    """Events of a run in order; an incomplete last line is skipped."""
    return read_lines(path, RunEvent)


def standing_matches(events: Iterable[RunEvent]) -> list[RunEvent]:
    """The decided matches of one task that still count, in the order of their announcement."""
    found: dict[tuple[str, str], RunEvent] = {}
    for event in events:
        name = str(event.data.get("heat", "")), str(event.data.get("match", ""))
        if event.kind in ("match", "match_dropped"):
            found.pop(name, None)
        if event.kind == "match":
            found[name] = event
    return list(found.values())
