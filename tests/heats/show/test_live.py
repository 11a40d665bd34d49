"""Progress displays: what they print, and that nothing in an event can stop or deceive them."""

import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agents.llm.ledger import Usage
from heats.store.events import RunEvent
from heats.view.live import Display, LiveDisplay, PlainDisplay, choose_mode, open_display
from heats.view.panels import draw

MARKUP = [
    "[/bold]",
    "[/",
    "[link=http://evil]x[/link]",
    "[b +",
    "[red]x",
    ":boom:",
    "\x1b[31mred\x1b]0;t\x07",
    "::error::x",
]


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


class Script:
    """Makes events one second apart."""

    def __init__(self) -> None:
        self.seq = 0

    def __call__(self, kind: Any, *, task: str | None = None, rollout: str | None = None, **data: Any) -> RunEvent:
        self.seq += 1
        moment = f"2026-01-01T00:{self.seq // 60:02d}:{self.seq % 60:02d}.000+00:00"
        return RunEvent(seq=self.seq, time=moment, kind=kind, task=task, rollout=rollout, data=data)


def one_task(tasks: tuple[str, ...] = ("fix-it",)) -> Iterator[RunEvent]:
    event = Script()
    plan = {"rollouts": 2, "iterations": 1, "select_k": 1, "group_size": 2, "votes": 2}
    yield event("run_started", command="solve", tasks=tasks, model="builtin:repair", sandbox="docker", **plan)
    for task in tasks:
        yield event("task_started", task=task)
        yield event("baseline", task=task, status="failed", passed=["a"], failed=["b", "c"])
        yield event("heat_started", task=task, heat=0, rollouts=2, context=())
        for number in (0, 1):
            rollout = f"heat-0/rollout-0{number}"
            yield event("rollout_started", task=task, rollout=rollout)
            yield event("rollout_step", task=task, rollout=rollout, step=1, command="pytest -q", exit_code=1)
            yield event(
                "rollout_finished", task=task, rollout=rollout, exit="submitted", detail="", steps=4,
                duration_s=3.2, tokens=1000, cost_usd=0.01, patch_bytes=412,
            )  # fmt: skip
            yield event("evidence", task=task, rollout=rollout, verdict="verified", rank=3, reason="2 fixed")
            yield event("summarized", task=task, rollout=rollout, source="model")
        contestants = ("heat-0/rollout-00", "heat-0/rollout-01")
        choices = (contestants[1], contestants[1], None)
        yield event("votes", task=task, heat=0, match="r0-m0", contestants=contestants, choices=choices)
        yield event(
            "match",
            task=task,
            heat=0,
            match="r0-m0",
            contestants=contestants,
            winner=contestants[1],
            decided_by="votes",
        )
        yield event("selected", task=task, heat=0, selected=(contestants[1],), final=True)
        yield event("verified", task=task, verdict="verified", reason="2 tests fixed, none broken")
        yield event("task_finished", task=task, status="verified", selected=contestants[1], detail="")
    yield event("run_finished", status="done")


def lines(mode: Any, events: Iterator[RunEvent]) -> list[str]:
    stream = io.StringIO()
    with open_display(mode, stream=stream, env={}) as display:
        for event in events:
            display(event)
    return stream.getvalue().splitlines()


def picture(display: Display, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(draw(display.run, display.usage(), 65.0, 30))
    return console.export_text()


def test_plain_lines_tell_the_story_with_relative_times() -> None:
    said = lines("plain", one_task())
    assert said[0].startswith("   0:00  run started: 1 task, 2 rollouts x 1 heat, keep 1, groups of 2, 2 votes a match")
    assert any("fix-it  tests before: failed (2 failed, 1 passed)" in line for line in said)
    assert any("heat-0/rollout-00  submitted, 4 steps, 3.2 s, patch of 412 B" in line for line in said)
    assert any("heat 0, match r0-m0: 0/01 beats 0/00 2:0 (votes)" in line for line in said)
    assert any("verified: 2 tests fixed, none broken" in line for line in said)
    assert not any("rollout_step" in line or "pytest -q" in line for line in said)


def test_many_tasks_get_fewer_lines_each() -> None:
    said = lines("plain", one_task(tuple(f"task-{number}" for number in range(5))))
    assert not any("match r0" in line for line in said)
    assert not any("rollout-00  submitted" in line for line in said)
    assert any(re.search(r"\[4/5 tasks, about \d+\.\d s left\]", line) for line in said)
    assert any("[5/5 tasks]" in line for line in said)


def test_of_many_tasks_rollouts_that_infrastructure_failed_are_told() -> None:
    event = Script()
    begun = event("run_started", command="sweep", tasks=[f"task-{number}" for number in range(9)])
    failed = event("rollout_finished", task="task-1", rollout="heat-0/rollout-00", exit=None, error="no sandbox")
    said = lines("plain", iter([begun, failed]))
    assert any("task-1  heat-0/rollout-00  no attempt" in line and "no sandbox" in line for line in said)


def test_the_pace_is_that_of_the_process_at_work() -> None:
    display = open_display("quiet", stream=io.StringIO())
    events = list(one_task(tuple(f"task-{number}" for number in range(8))))
    ends = [place for place, event in enumerate(events) if event.kind == "task_finished"]
    display.replay(events[: ends[2] + 1])
    whole = display.run.left_s
    assert whole == pytest.approx((ends[2] + 1 - 1) / 3 * 5, rel=0.1)
    display(RunEvent(seq=999, time=events[ends[2]].time, kind="run_resumed", data=events[0].data))
    assert display.run.left_s is None


def test_quiet_says_nothing() -> None:
    assert lines("quiet", one_task()) == []


def test_json_lines_are_the_events() -> None:
    events = list(one_task())
    assert [RunEvent.model_validate_json(line) for line in lines("json", iter(events))] == [
        RunEvent.model_validate_json(event.model_dump_json()) for event in events
    ]


def test_json_lines_hold_no_ci_command() -> None:
    (line,) = lines("json", iter([Script()("warning", text="###[error]\u202e\n::error::")]))
    assert json.loads(line)["data"]["text"] == "###[error]\u202e\n::error::"
    assert "##" not in line
    assert line.isascii()


@pytest.mark.parametrize(
    ("env", "terminal", "expected"),
    [
        ({"TERM": "xterm"}, True, "live"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, "live"),
        ({"TERM": "dumb"}, True, "plain"),
        ({}, True, "plain"),
        ({"TERM": "xterm", "CI": "true"}, True, "plain"),
        ({"TERM": "xterm", "CI": "false"}, True, "live"),
        ({"TERM": "xterm"}, False, "plain"),
    ],
)
def test_auto_draws_only_where_it_can(env: dict[str, str], terminal: bool, expected: str) -> None:
    assert choose_mode("auto", Terminal() if terminal else io.StringIO(), env) == expected


def test_one_task_is_drawn_with_rollouts_and_bracket() -> None:
    display = open_display(
        "quiet", stream=io.StringIO(), ledger=lambda: Usage(calls=7, prompt_tokens=12_345, cost_usd=0.5)
    )
    display.replay(list(one_task())[:-2])
    text = picture(display)
    assert re.search(r"rollout-01 +submitted +4 +verified +\[1\] pytest -q", text)
    assert "r0  0/00 0 : 0/01 2" in text
    assert "7 calls · 12.3 k tokens · $0.50" in text


def test_many_tasks_are_drawn_as_a_table() -> None:
    display = open_display("quiet", stream=io.StringIO())
    display.replay(list(one_task(tuple(f"task-{number}" for number in range(30))))[:-14])
    text = picture(display)
    assert "29/30 tasks" in text
    assert re.search(r"task-28 +verified", text)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert re.search(r"task-29 +heat 0: 0/2 rollouts", text)
    assert len(text.splitlines()) < 30


def test_live_leaves_the_last_picture_and_the_cursor() -> None:
    terminal = Terminal()
    with open_display("live", stream=terminal, env={"TERM": "xterm"}) as display:
        assert isinstance(display, LiveDisplay)
        for event in one_task():
            display(event)
    shown = terminal.getvalue()
    assert "2 tests fixed, none broken" in shown
    assert shown.rstrip().endswith("\x1b[?25h")


@pytest.mark.parametrize("text", MARKUP)
@pytest.mark.parametrize("mode", ["plain", "live"])
def test_markup_and_escapes_in_any_field_are_shown_as_text(mode: Any, text: str) -> None:
    event, stream = Script(), Terminal()
    fields = dict.fromkeys(
        ["status", "command", "exit", "detail", "reason", "verdict", "winner", "decided_by", "text"], text
    )
    rest: dict[str, Any] = {"tasks": [text], "model": text, "sandbox": text, "selected": [text], "match": text}
    with open_display(mode, stream=stream, env={"TERM": "xterm", "NO_COLOR": "1"}) as display:
        for kind in (
            "run_started",
            "baseline",
            "rollout_step",
            "rollout_finished",
            "evidence",
            "votes",
            "match",
            "match_dropped",
            "warning",
        ):
            rollout = text if kind.startswith(("rollout", "evidence")) else None
            display(event(kind, task=text, rollout=rollout, contestants=[text, text], choices=[text], **fields, **rest))
        drawn = picture(display)
    assert "could not be shown" not in stream.getvalue()
    assert "display:" not in drawn
    assert "\x1b]0" not in stream.getvalue()
    assert "\x1b[31mred" not in stream.getvalue()
    assert not any(line.startswith("::") for line in stream.getvalue().splitlines())
    if "\x1b" not in text:
        assert text in drawn


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(list(RunEvent.model_fields["kind"].annotation.__args__))  # type: ignore[union-attr]
NAMES = ["tasks", "rollouts", "heat", "status", "passed", "step", "command", "exit_code", "exit", "steps", "duration_s",
         "tokens", "cost_usd", "patch_bytes",
         "choices", "shares", "text", "contestants", "match", "winner", "selected", "final"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(KINDS, st.dictionaries(st.sampled_from(NAMES), ODD), st.booleans(), st.booleans()), max_size=6)
)
def test_odd_events_never_raise(script: list[Any]) -> None:
    displays = [open_display(mode, stream=io.StringIO(), env={}) for mode in ("plain", "json", "quiet")]  # type: ignore[arg-type]
    for seq, (kind, data, task, rollout) in enumerate(script):
        event = RunEvent(
            seq=seq, time="no time", kind=kind, data=data, task="t" if task else None, rollout="r" if rollout else None
        )
        for display in displays:
            display(event)
    picture(displays[0])


def test_an_event_costs_well_under_a_millisecond() -> None:
    events = list(one_task(tuple(f"task-{number}" for number in range(100))))
    display = open_display("plain", stream=io.StringIO(), env={})
    started = time.process_time()
    for event in events:
        display(event)
    assert (time.process_time() - started) / len(events) < 1e-3


def test_a_reader_that_goes_away_does_not_stop_the_run() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    display = open_display("plain", stream=Broken(), env={})
    for event in one_task():
        display(event)


def at_tests() -> Iterator[RunEvent]:
    """A run whose rollouts have ended, at each later stage of work."""
    event = Script()
    first, second = "heat-0/rollout-00", "heat-0/rollout-01"
    yield event("run_started", command="sweep", tasks=("fix-it",), model="m", sandbox="docker", rollouts=2)
    yield event("heat_started", task="fix-it", heat=0, rollouts=[first, second], context=())
    for rollout in (first, second):
        yield event("rollout_finished", task="fix-it", rollout=rollout, exit="submitted", steps=1, patch_bytes=9)
        yield event("verifying", task="fix-it", rollout=rollout)
    yield event("crossing", task="fix-it", heat=0, done=0, total=12)
    yield event("crossing", task="fix-it", heat=0, done=5, total=12)


def test_tests_of_patches_cross_execution_and_grading_are_seen_while_they_run() -> None:
    """The display was silent during grading and cross-execution: 11 of 24 minutes."""
    display = Display(io.StringIO())
    events = Script()
    for one in at_tests():
        display(one)
    assert "heat 0: 2/2 rollouts, tests on 2 patches, cross-execution 5/12" in picture(display, width=140)
    display(events("evidence", task="fix-it", rollout="heat-0/rollout-00", verdict="verified"))
    display(events("crossed", task="fix-it", heat=0, tests=3, counting=1))
    assert "tests on 1 patch" in picture(display)
    display(events("task_finished", task="fix-it", status="verified"))
    display(events("grading", task="fix-it", rollouts=["heat-0/rollout-00", "heat-0/rollout-01"]))
    display(events("graded", task="fix-it", rollout="heat-0/rollout-00", outcome="pass"))
    assert "grading 1/2 rollouts" in picture(display)
    display(events("grading", task="fix-it", rollouts=[]))
    assert "grading" not in picture(display)


def test_a_log_says_where_the_run_stands_when_nothing_happens() -> None:
    stream = io.StringIO()

    def said(words: str) -> bool:
        end = time.monotonic() + 30
        while words not in stream.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        return words in stream.getvalue()

    with PlainDisplay(stream, every_s=0.02) as display:
        assert said("preparing")
        for one in at_tests():
            display(one)
        assert said("in progress: fix-it (heat 0: 2/2 rollouts, tests on 2 patches, cross-execution 5/12); ")
