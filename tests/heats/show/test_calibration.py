"""How right a critic's scores are, by score, and where the report says so."""

import pytest
from doubles import CountingModel

from heats.report.calibration import calibration
from heats.report.figures import Figures
from heats.report.report import write_report
from heats.store.files import write_record
from heats.store.store import RunStore


def test_scores_are_compared_with_what_became_of_the_rollouts():
    found = calibration([[(0.9, True), (0.1, False)], [(0.95, False), (0.5, True)], []])
    assert [(one.count, one.share) for one in found.bins] == [(1, 0.0), (1, 1.0), (2, 0.5)]
    assert found.count == 4 and found.brier == pytest.approx((0.01 + 0.01 + 0.9025 + 0.25) / 4)
    assert found.order == 0.5  # right in the first task, wrong in the second


def test_a_score_of_one_is_in_the_last_interval_and_without_scores_there_is_nothing():
    (one,) = calibration([[(1.0, True)]]).bins
    assert (one.least, one.most, calibration([[]])) == (0.8, 1.0, None)


async def test_the_report_has_the_calibration_of_a_run_with_a_critic(paper_run, tmp_path):
    await paper_run("one", model=CountingModel([]))
    run = RunStore(tmp_path / "run")
    assert Figures.of(run).critic is None
    task = run.task("one")
    scores = {name: 0.25 * place for place, name in enumerate(task.rollouts(0))}
    write_record(task.directory / "heat-0" / "tournament.json", task.bracket(0).model_copy(update={"scores": scores}))
    assert Figures.of(run).as_dict()["critic"]["bins"]
    text = write_report(run, tmp_path / "report.html").read_text()
    assert "The critic&#39;s scores" in text or "The critic's scores" in text
    assert "4 scored rollouts; Brier score" in text
