"""Figures of a run: what counts, what does not, and that nothing is dropped silently."""

import json
from collections.abc import Callable
from io import StringIO
from itertools import combinations
from pathlib import Path
from statistics import fmean
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agents.llm.ledger import Usage
from envs.base import Evidence, Grade, Patch
from heats.report.figures import Figures, Gain, HeatFigures, TaskFigures, pass_at_k
from heats.report.table import RunFigures, gain_notes, notes
from heats.store.records import Charge, Manifest, Outcome, TaskResult
from heats.store.store import RunStore
from tournament.base import Bracket

MakeRun = Callable[..., RunStore]
PATCH = Patch(b"diff\n")


class SmallRun:
    """A run of one task, rollout by rollout: `+` passes, `-` fails, `i` infrastructure, `e` no patch, `?` ungraded."""

    def __init__(self, directory: Path) -> None:
        self.run = RunStore(directory)
        manifest = Manifest(run_id="small", command="demo", identity={"tasks": {"t": "digest"}})
        self.run = RunStore.open(directory, manifest)
        self.task = self.run.task("t")

    def heat(self, heat: int, results: str, kept: tuple[int, ...]) -> None:
        for number, result in enumerate(results):
            rollout = f"heat-{heat}/rollout-{number:02d}"
            self.rollout(rollout, result, steps=10 - 4 * heat)
        selected = tuple(f"heat-{heat}/rollout-{number:02d}" for number in kept)
        bracket = Bracket(selector="rtv", seed=0, group_size=2, votes_per_match=1, selected=selected, ranking=selected)
        self.task.save_bracket(heat, bracket)

    def rollout(self, rollout: str, result: str, steps: int) -> None:
        files = self.task.rollout(rollout)
        if result == "u":
            files.directory.mkdir(parents=True)
            return
        if result in "ie":
            files.finish(
                Outcome(rollout=rollout, exit=None if result == "i" else "step_limit", steps=steps), Patch(b"")
            )
            return
        outcome = Outcome(rollout=rollout, exit="submitted", steps=steps, patch_sha256=PATCH.sha256, patch_bytes=5)
        files.finish(outcome, PATCH)
        if result in "+-":
            self.run.grades.save(rollout, Grade(task_id="t", outcome="pass" if result == "+" else "fail"))

    def finish(self, selected: str | None) -> RunFigures:
        self.task.save_result(TaskResult(task="t", status="unverified", selected=selected, heats=2))
        return RunFigures.of(self.run)


@pytest.fixture
def small(tmp_path: Path) -> SmallRun:
    return SmallRun(tmp_path / "small")


def test_each_stage_of_the_method_has_its_share(small: SmallRun) -> None:
    small.heat(0, "+---", kept=(0, 1))
    small.heat(1, "++--", kept=(1,))
    totals = small.finish("heat-1/rollout-01").totals
    assert totals.pass_at_1 == (0.25, 0.5)
    assert totals.kept == (0.5,)
    assert totals.random_pick == 0.5
    assert totals.final == 1.0
    assert totals.pass_at_n == (1.0, 1.0)
    assert totals.steps == (10, 6)


def test_infrastructure_failures_stay_in_the_denominator_and_are_shown(small: SmallRun) -> None:
    small.heat(0, "+iie", kept=(0,))
    small.heat(1, "+", kept=(0,))
    figures = small.finish("heat-1/rollout-00")
    assert figures.totals.pass_at_1[0] == 0.25
    assert figures.totals.infrastructure_failed == 2
    assert "2 rollouts lost to infrastructure: counted as failures" in notes(figures)


def test_ungraded_and_unfinished_rollouts_are_in_no_share_and_are_told(small: SmallRun) -> None:
    small.heat(0, "+-??u", kept=(0,))
    small.heat(1, "+", kept=(0,))
    figures = small.finish("heat-1/rollout-00")
    assert figures.totals.pass_at_1[0] == 0.5
    assert (figures.totals.unknown, figures.totals.unfinished) == (2, 1)
    assert "2 rollouts without a grade: not counted" in notes(figures)
    assert "1 rollout not finished: not counted" in notes(figures)


def test_a_task_without_a_choice_counts_as_no_success(small: SmallRun) -> None:
    small.heat(0, "+-", kept=(0,))
    assert small.finish(None).totals.final == 0.0


def test_a_heat_with_nothing_to_keep_is_not_left_out_of_what_the_kept_are_worth(small: SmallRun) -> None:
    small.heat(0, "ee", kept=())
    small.heat(1, "+-", kept=(0,))
    assert small.finish("heat-1/rollout-00").totals.kept == (0.0,)


def test_a_running_task_has_no_final_yet(small: SmallRun) -> None:
    small.heat(0, "+-", kept=(0,))
    figures = RunFigures.of(small.run)
    assert figures.totals.final is None
    assert figures.tasks[0].status == "running"
    assert "1 task not finished" in notes(figures)


def test_a_running_task_is_charged_what_the_ledger_says(small: SmallRun) -> None:
    log = small.run.ledger_log()
    for scope in ("t/heat-0/rollout-00", "t/heat-0/tournament", "other/heat-0/rollout-00"):
        log.append(Charge(scope=scope, usage=Usage(calls=2, prompt_tokens=10, cost_usd=0.5)))
    log.close()
    small.rollout("heat-0/rollout-00", "u", steps=0)
    figures = RunFigures.of(small.run)
    assert figures.tasks[0].usage == Usage(calls=4, prompt_tokens=20, cost_usd=1.0)
    assert figures.usage.calls == 6


def test_without_grades_evidence_counts_and_is_called_so(small: SmallRun) -> None:
    small.heat(0, "??", kept=(0,))
    for number, verdict in enumerate(("verified", "unverified")):
        evidence = Evidence(patch_sha256="", verdict=verdict, reason="", rank=3)  # type: ignore[arg-type]
        small.task.rollout(f"heat-0/rollout-{number:02d}").save_evidence(evidence)
    figures = small.finish("heat-0/rollout-00")
    assert figures.basis == "verified"
    assert figures.totals.pass_at_1 == (0.5,)
    assert figures.as_text().startswith("no grades: shares verified by your tests")


def test_without_grades_and_evidence_nothing_is_claimed(small: SmallRun) -> None:
    small.heat(0, "??", kept=(0,))
    figures = small.finish("heat-0/rollout-00")
    assert figures.totals.pass_at_1 == (None,)
    assert figures.totals.final is None
    assert "success is unknown" in figures.as_text()


def test_a_run_that_has_only_begun_can_be_shown(tmp_path: Path) -> None:
    figures = RunFigures.of(SmallRun(tmp_path / "begun").run)
    assert "nothing yet" in figures.as_text()
    assert figures.curve(0) == []


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_mean_over_all_draws(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(combinations([place < c for place in range(n)], k))
    assert pass_at_k(n, c, k) == pytest.approx(fmean(any(draw) for draw in draws))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 0), (4, 1, 5), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_outside_its_domain_is_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(n, c, k)


def test_the_curve_starts_at_pass_at_1_and_ends_at_the_oracle(make_run: MakeRun) -> None:
    figures = RunFigures.of(make_run(tasks=5, rollouts=6))
    curve, totals = figures.curve(1), figures.totals
    assert len(curve) == 6
    assert curve[0] == pytest.approx(totals.pass_at_1[1])
    assert curve[-1] == pytest.approx(totals.pass_at_n[1])
    assert curve == sorted(curve)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_table_fits_its_terminal(make_run: MakeRun, width: int) -> None:
    console = Console(width=width, record=True, file=StringIO())
    console.print(RunFigures.of(make_run()).view(width))
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "demo__task-000" in text
    assert "final choice" in text
    assert "…" not in text


def test_markup_in_a_task_name_is_text(make_run: MakeRun) -> None:
    run = make_run(tasks=1, voice=lambda text: text + "[/bold][link=http://x]\x1b[31m")
    console = Console(width=200, record=True, file=StringIO())
    console.print(RunFigures.of(run).view(200))
    assert "[/bold][link=http://x]" in console.export_text()


def test_the_dict_is_json_and_has_every_task(make_run: MakeRun, synthetic: ModuleType) -> None:
    figures = RunFigures.of(make_run(tasks=2))
    told = json.loads(json.dumps(figures.as_dict()))
    assert [task["task"] for task in told["tasks"]] == ["demo__task-000", "demo__task-001"]
    assert len(told["totals"]["pass_at_k"]) == 2
    assert told["usage"]["calls"] == 80


def test_a_further_heat_is_judged_by_the_tasks_it_wins_and_loses_and_by_its_tokens() -> None:
    def task(name: str, *best: float) -> TaskFigures:
        heats = tuple(HeatFigures(4, 4, 2, best=one, tokens=100) for one in best)
        return TaskFigures(name, "verified", heats, best[-1], 0, 0, 0, Usage(prompt_tokens=400, calls=1))

    tasks = (task("won", 0, 1), task("lost", 1, 0), task("kept", 1, 1), task("stopped", 1))
    figures = Figures("run", "pass", tasks, Usage(prompt_tokens=1600, calls=4))
    assert figures.gains == (Gain(heat=1, tasks=3, won=1, lost=1, tokens=300),)
    assert figures.per_success == (28 / 3, 1600 / 3)
    assert gain_notes(figures) == [
        "heat 0 to 1: 1 task won, 1 lost of 3, for 300 tokens",
        "for each success: 9.3 rollouts, 533 tokens",
    ]


def test_shares_of_a_run_that_stopped_at_successes_are_marked_as_too_high() -> None:
    figures = Figures("run", "pass", (), Usage(), stopped_by="first-verified")
    assert any(note.startswith("policy first-verified ends tasks early") for note in notes(figures))
