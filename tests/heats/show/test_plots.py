"""Plots for papers, drawn from figures that can be checked by hand."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ExtraMissing
from heats.errors import UsageError
from heats.report.compare import compare
from heats.report.curves import heat_curves
from heats.report.plots import write_comparison_plot, write_plots
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]


def test_curves_agree_with_the_records(make_run: MakeRun) -> None:
    run = make_run(tasks=3, rollouts=6)
    basis, heats = heat_curves(run)
    assert basis == "pass"
    assert [heat.known for heat in heats] == [(6, 6, 6), (6, 6, 6)]
    for heat in heats:
        for passed, curve in zip(heat.passes, heat.pass_at_k, strict=True):
            assert curve[0] == pytest.approx(passed / 6)
            assert curve[-1] == float(passed > 0)


def test_accuracy_by_round_ends_with_those_that_were_kept(make_run: MakeRun) -> None:
    run = make_run(tasks=2, rollouts=8, keep=2)
    _, heats = heat_curves(run)
    store = run.task("demo__task-000")
    kept = [run.grades.grade("demo__task-000", one).outcome == "pass" for one in store.bracket(0).selected]
    assert heats[0].by_round[0][-1] == pytest.approx(sum(kept) / len(kept))
    assert all(right <= mixed for heat in heats for right, mixed in heat.decided)


@pytest.mark.slow
def test_every_plot_is_written_twice_and_again_with_the_same_bytes(make_run: MakeRun, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = make_run(tasks=3, rollouts=4, keep=2, steps=2)
    paths = write_plots(run, tmp_path / "one")
    paths += write_comparison_plot(compare([run, make_run("other", tasks=3, rollouts=2, keep=1)]), tmp_path / "one")
    names = ["pass-at-k", "accuracy-by-round", "passes-before-and-after", "cost-against-accuracy"]
    assert [path.name for path in paths] == [f"{name}.{form}" for name in names for form in ("png", "svg")]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert b"pass@k" in paths[1].read_bytes() or b"<path" in paths[1].read_bytes()
    again = write_plots(run, tmp_path / "two")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths[:6]]


def test_without_success_or_matplotlib_there_is_no_plot(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="nothing to plot"):
        write_plots(make_run("blind", tasks=1, rollouts=2, keep=1, graded=False, evidence=False), tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ExtraMissing, match=r"heats\[plots\]"):
        write_plots(make_run("seen", tasks=1, rollouts=2, keep=1), tmp_path)
