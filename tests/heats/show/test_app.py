"""Browsing a run with the keyboard."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hostile import HostileVoice
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from heats.errors import UsageError
from heats.store.reader import TaskFacts, read_task
from heats.store.store import RunStore
from heats.view.app import ViewApp, find_runs
from heats.view.list_screen import ListScreen
from heats.view.screens import RunScreen, RunsScreen
from heats.view.task_screens import RolloutScreen, TaskScreen

MakeRun = Callable[..., RunStore]


@asynccontextmanager
async def opened(*runs: RunStore, task: str | None = None) -> AsyncIterator[Pilot[None]]:
    app = ViewApp([run.directory for run in runs], task)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        yield pilot


async def settle(pilot: Pilot[None]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def screen(pilot: Pilot[None]) -> ListScreen:
    found = pilot.app.screen
    assert isinstance(found, ListScreen)
    return found


def said(pilot: Pilot[None], where: str) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(pilot.app.screen.query_one(where, Static).content)
    return capture.get()


def keys(pilot: Pilot[None]) -> list[str]:
    return [str(key.value) for key in screen(pilot).table.rows]


async def go_to(pilot: Pilot[None], key: str) -> None:
    table: DataTable[Any] = screen(pilot).table
    table.move_cursor(row=table.get_row_index(key))
    await pilot.pause()


async def test_enter_leads_from_runs_to_a_step_and_escape_back(make_run: MakeRun) -> None:
    async with opened(make_run("first"), make_run("second", seed=1)) as pilot:
        assert isinstance(pilot.app.screen, RunsScreen)
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RunScreen)
        assert keys(pilot) == ["demo__task-000", "demo__task-001", "demo__task-002"]
        await pilot.press("j", "enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, TaskScreen)
        await go_to(pilot, "heat-1/rollout-00")
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, RolloutScreen)
        for _ in range(5):
            await pilot.press("escape")
        assert isinstance(pilot.app.screen, RunsScreen)


async def test_each_part_of_a_task_is_shown_under_the_cursor(make_run: MakeRun) -> None:
    async with opened(make_run(tasks=1)) as pilot:
        assert "What was asked" in said(pilot, "#content")
        await go_to(pilot, "patch")
        assert "merge.py  +2 -1" in said(pilot, "#content")
        await go_to(pilot, "heat-1")
        shown = said(pilot, "#content")
        assert "names the failing bound" in shown
        assert "──╮" in shown
        await go_to(pilot, "heat-0/rollout-00")
        assert "off by one in range" in said(pilot, "#content")


async def test_a_rollout_has_steps_summary_patch_and_evidence(make_run: MakeRun) -> None:
    async with opened(make_run(tasks=1, infra_share=0)) as pilot:
        await go_to(pilot, "heat-0/rollout-00")
        await pilot.press("enter")
        await settle(pilot)
        await go_to(pilot, "3")
        assert "test_13 PASSED" in said(pilot, "#content")
        assert "12 passed" in said(pilot, "#summary-content")
        assert "def merge" in said(pilot, "#patch-content")
        assert "3 fixed" in said(pilot, "#evidence-content") or "1 fixed" in said(pilot, "#evidence-content")
        await pilot.press("p")
        assert pilot.app.screen.query_one("#patch").display


async def test_a_search_leaves_the_rows_that_match(make_run: MakeRun) -> None:
    async with opened(make_run(tasks=4)) as pilot:
        await pilot.press("slash", *"task-002")
        assert keys(pilot) == ["demo__task-002"]
        await pilot.press("enter", "escape")
        assert len(keys(pilot)) == 4


async def test_steps_are_searched_with_what_they_printed(make_run: MakeRun) -> None:
    async with opened(make_run(tasks=1, infra_share=0)) as pilot:
        await go_to(pilot, "heat-0/rollout-00")
        await pilot.press("enter")
        await settle(pilot)
        everything = len(keys(pilot))
        await pilot.press("slash", *"git log")
        assert 0 < len(keys(pilot)) < everything
        pilot.app.screen.query_one("#search", Input).value = "test_13"
        await pilot.pause()
        assert len(keys(pilot)) == everything - 2  # the system prompt and the issue


async def test_a_running_run_is_followed(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heats.view.screens.LOOK_EVERY_S", 0.02)
    run = make_run(tasks=2)
    result = run.directory / "tasks/demo__task-001/result.json"
    whole, kept = run.events_path.read_bytes(), result.read_bytes()
    lines = whole.splitlines(keepends=True)
    run.events_path.write_bytes(b"".join(lines[:-2]) + lines[-2][:20])
    result.unlink()
    async with opened(run) as pilot:
        assert "not finished" in said(pilot, "#title")
        assert str(screen(pilot).table.get_row("demo__task-001")[1]) == "not finished"
        result.write_bytes(kept)
        run.events_path.write_bytes(whole)
        async with asyncio.timeout(10):
            while "not finished" in said(pilot, "#title"):
                await pilot.pause(0.02)
        assert str(screen(pilot).table.get_row("demo__task-001")[1]) != "not finished"


async def test_a_slow_first_look_is_not_begun_again_and_may_be_left(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, going = threading.Event(), []

    def slowly(run: RunStore, task: str) -> TaskFacts:
        going.append(task)
        read.wait(5)
        return read_task(run, task)

    monkeypatch.setattr("heats.view.screens.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("heats.view.screens.read_task", slowly)
    async with opened(make_run("one", tasks=2), make_run("two", tasks=2)) as pilot:
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert len(going) == 1
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, RunsScreen)
        read.set()
        await settle(pilot)


async def test_a_hostile_run_is_shown_as_text(make_run: MakeRun) -> None:
    async with opened(make_run(tasks=1, rollouts=3, keep=1, voice=HostileVoice(), infra_share=0)) as pilot:
        shown = ""
        for key in keys(pilot):
            await go_to(pilot, key)
            shown += said(pilot, "#content")
        await pilot.press("enter")
        await settle(pilot)
        shown += "".join(said(pilot, f"#{name}-content") for name in ("summary", "patch", "evidence"))
        for key in keys(pilot):
            await go_to(pilot, key)
            shown += said(pilot, "#content")
        shown += "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
    assert "<script>alert(1)</script>" in shown
    assert not set(shown) & set("\x1b\x9b\x07\x00\u202e\u200b")


def test_what_is_no_run_is_told(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(UsageError, match="not a heats run directory"):
        find_runs(tmp_path / "nothing")
    run = make_run("one")
    hurt = tmp_path / "hurt" / "run.json"
    hurt.parent.mkdir()
    hurt.write_text("{")
    assert find_runs(tmp_path) == [run.directory], "one run that cannot be read must not keep the others from view"
    with pytest.raises(UsageError, match="no task nope"):
        find_runs(run.directory, "nope")


async def test_a_question_mark_shows_the_keys_of_the_screen_and_goes_away(make_run: MakeRun) -> None:
    async with opened(make_run()) as pilot:
        before = pilot.app.screen
        await pilot.press("question_mark")
        await settle(pilot)
        told = said(pilot, "#help")
        assert all(word in told for word in ("/", "Search", "Quit", "Enter", "pass@1"))
        await pilot.press("question_mark")
        await settle(pilot)
        assert pilot.app.screen is before
