"""A run printed to a terminal or into a pipe."""

from collections.abc import Callable
from io import StringIO

import pytest
from hostile import HostileVoice
from rich.console import Console

from heats.errors import UsageError
from heats.store.store import RunStore
from heats.view.print_run import view_run

MakeRun = Callable[..., RunStore]


def shown(run: RunStore, task: str | None = None) -> str:
    console = Console(file=StringIO(), width=120, record=True)
    view_run(run, console, task)
    return console.export_text()


def test_a_run_of_many_tasks_shows_its_figures(make_run: MakeRun) -> None:
    text = shown(make_run())
    assert "final choice" in text
    assert "heat-0" not in text


def test_one_task_is_shown_in_detail(make_run: MakeRun) -> None:
    run = make_run()
    text = shown(run, "demo__task-001")
    assert "r0-m0" in text
    assert "merge.py  +" in text
    assert f"patch of {run.task('demo__task-001').result().selected}" in text


def test_a_task_that_is_not_there_is_told(make_run: MakeRun) -> None:
    with pytest.raises(UsageError, match="no task nope"):
        shown(make_run(), "nope")


def test_a_hostile_run_is_shown_as_text(make_run: MakeRun) -> None:
    text = shown(make_run(tasks=1, voice=HostileVoice(), patch_note=b"\xff\x1b[2J"))
    assert "\x1b" not in text
    assert "<script>" in text
