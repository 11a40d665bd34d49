"""Comparing runs: paired on common tasks, with intervals that have their nominal coverage."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer.main
from hostile import HostileVoice
from test_report import check_inert

from heats.cli import app
from heats.errors import UsageError
from heats.report.compare import LEAST_DIFFERENT, compare, comparison_text, write_comparison
from heats.report.intervals import estimate
from heats.store.records import TaskResult
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]
SMALL = {"rollouts": 3, "keep": 1, "steps": 2}


def test_an_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    draw = random.Random(1)
    held = 0
    for trial in range(30):
        found = estimate([float(draw.random() < 0.4) for _ in range(80)], seed=trial)
        held += found.low <= 0.4 <= found.high
    assert 25 <= held <= 30


def test_an_interval_of_equal_values_is_that_value_and_of_one_value_unknown() -> None:
    found = estimate([0.5] * 9)
    assert (found.low, found.mean, found.high) == (0.5, 0.5, 0.5)
    assert estimate([1.0]).low is None
    assert estimate([]) is None


def test_differences_are_paired_on_the_tasks_that_all_finished(make_run: MakeRun) -> None:
    first, second = make_run("first", tasks=4, **SMALL), make_run("second", tasks=3, seed=5, **SMALL)
    (second.task("demo__task-000").directory / "result.json").unlink()
    found = compare([first, second])
    assert list(found.by_task) == ["demo__task-001", "demo__task-002"]
    assert found.left_out == 2
    finals = list(found.by_task.values())
    assert found.runs[1].difference.mean == pytest.approx(sum(b - a for a, b in finals) / 2)
    assert (found.runs[1].better, found.runs[1].worse) == (
        sum(b > a for a, b in finals),
        sum(b < a for a, b in finals),
    )
    assert found.runs[0].difference is None
    assert found.as_dict()["tasks"] == 2


def test_a_run_that_is_cheaper_and_no_worse_puts_the_other_off_the_frontier(make_run: MakeRun) -> None:
    cheap, dear = make_run("cheap", tasks=2, **SMALL), make_run("dear", tasks=2, **SMALL)
    for task in ("demo__task-000", "demo__task-001"):
        store = dear.task(task)
        result = store.result()
        assert isinstance(result, TaskResult)
        store.save_result(result.model_copy(update={"usage": result.usage.model_copy(update={"cost_usd": 2.0})}))
    found = compare([dear, cheap])
    assert [run.frontier for run in found.runs] == [False, True]
    assert "cheap*" in comparison_text(found)


def test_too_few_tasks_for_a_statement_are_said_and_enough_are_not(make_run: MakeRun) -> None:
    found = compare([make_run("first", tasks=3, **SMALL), make_run("second", tasks=3, seed=5, **SMALL)])
    assert "too few tasks to tell second from first" in comparison_text(found)
    assert found.as_dict()["doubts"]
    enough = replace(found.runs[1], better=LEAST_DIFFERENT, worse=0)
    assert replace(found, runs=(found.runs[0], enough)).doubts == ()


def test_a_comparison_lies_beside_the_runs(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [make_run(name, tasks=2, **SMALL).directory for name in ("a", "b")]
    monkeypatch.chdir(tmp_path)
    typer.main.get_command(app).main(["report", *map(str, runs), "--compare"], standalone_mode=False)
    assert (runs[0].parent / "compare.html").is_file()


def test_what_cannot_be_compared_is_told(make_run: MakeRun) -> None:
    graded, ungraded = make_run("graded", tasks=1, **SMALL), make_run("ungraded", tasks=1, graded=False, **SMALL)
    with pytest.raises(UsageError, match="at least two"):
        compare([graded])
    with pytest.raises(UsageError, match="measure success differently"):
        compare([graded, ungraded])


def test_a_comparison_of_hostile_runs_is_inert(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run(name, tasks=2, voice=HostileVoice(), **SMALL) for name in ("<script>alert(1)</script>", "b")]
    page = check_inert(write_comparison(compare(runs), tmp_path / "compare.html"))
    assert "svg" in page.tags
