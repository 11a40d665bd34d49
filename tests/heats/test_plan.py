"""`heats plan`: settings simulated, costs added up, the best within a limit marked."""

import json
import sys
from xml.etree import ElementTree

import pytest

from agents.llm.ledger import Usage
from envs.base import Evidence, Patch
from heats.cli import main
from heats.planning.calibrate import fit_concentration, measure
from heats.planning.forecast_plot import frontier
from heats.planning.plan import Cost, Prices, TaskLimits, best, outlooks, settings
from heats.planning.simulate import Method, World
from heats.store.records import Charge, Manifest, Outcome, TaskResult
from heats.store.store import RunStore

WORLD = World(mean=0.4, concentration=0.5, accuracy=(0.8, 0.8), refined=(0.0, 1.0))
PRICES = Prices(steps=(10.0, 4.0), step=Cost(tokens=100, usd=0.01, seconds=2), summary=Cost(tokens=50), vote=Cost())


@pytest.fixture
def plan(monkeypatch, capsys):
    """Run `heats plan` with few tasks; returns exit code, stdout and stderr."""

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["heats", "plan", "--tasks", "40", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return (end.value.code, *capsys.readouterr())

    return go


@pytest.fixture
def run(tmp_path):
    """A run of 12 tasks with 4 rollouts each; the task's number modulo 5 tells how many are verified."""
    store = RunStore.open(tmp_path / "run", Manifest(run_id="r", command="x", identity={}))
    patch, log = Patch(b"diff --git a/f b/f\n"), store.ledger_log()
    for number in range(12):
        task = store.task(f"t{number}")
        for place in range(4):
            rollout = task.rollout(f"heat-0/rollout-{place:02d}")
            usage = Usage(calls=5, prompt_tokens=500, cost_usd=0.05)
            sizes = {"patch_sha256": patch.sha256, "patch_bytes": len(patch.data)}
            rollout.finish(
                Outcome(rollout=rollout.rollout, exit="submitted", steps=5, duration_s=10.0, usage=usage, **sizes),
                patch,
            )
            verdict = "verified" if place < number % 5 else "unverified"
            rank = 3 if verdict == "verified" else 1
            rollout.save_evidence(Evidence(patch_sha256=patch.sha256, verdict=verdict, reason="", rank=rank))
            scope = f"t{number}/heat-0/rollout-{place:02d}"
            log.append(Charge(scope=scope, usage=usage + Usage(calls=1, prompt_tokens=200, cost_usd=0.02)))
        task.save_result(TaskResult(task=f"t{number}", status="verified"))
    log.close()
    store.close()
    return tmp_path / "run"


def test_settings_that_make_no_sense_or_say_the_same_are_left_out():
    found = settings(Method(), [2, 4], [2, 4], [2], [8], [1, 2])
    assert [(one.rollouts, one.select_k, one.iterations) for one in found] == [
        (2, 1, 1),
        (2, 2, 2),
        (4, 1, 1),
        (4, 2, 2),
        (4, 4, 2),
    ]


def test_costs_are_those_of_the_parts():
    method = Method(rollouts=4, select_k=2, votes=2, fresh_share=0.25, keep=False)
    (one,) = outlooks([method], WORLD, PRICES, TaskLimits(usd=0.5), tasks=5)
    steps = 4 * (10 + 0.25 * 10 + 0.75 * 4)
    assert one.calls == pytest.approx(steps + 8 + one.forecast.votes)
    assert one.forecast.votes == 2 * (2 + 3)
    assert one.tokens == pytest.approx(100 * steps + 50 * 8)
    assert (one.usd, one.within) == (pytest.approx(0.01 * steps), False)
    assert one.seconds == pytest.approx(2 * steps / 4)


def test_the_best_is_within_the_limit_and_no_dearer_than_its_equals():
    methods = settings(Method(early_stop=True), [1, 2, 4, 8], [1], [2], [4], [1])
    free = list(outlooks(methods, WORLD, PRICES, TaskLimits(), tasks=200))
    poor = list(outlooks(methods, WORLD, PRICES, TaskLimits(calls=50), tasks=200))
    assert best(free, 200).method.rollouts > 2
    assert best(poor, 200).calls <= 50
    assert best(list(outlooks(methods, WORLD, PRICES, TaskLimits(calls=1), tasks=5)), 5) is None


def test_the_table_marks_the_best_and_names_what_was_assumed(plan):
    code, out, _ = plan("--pass-rate", 0.4, "--rollouts", "2,4", "--budget-calls", 120)
    assert code == 0
    rows = [line for line in out.splitlines() if line.startswith(("*  ", "-  "))]
    assert sum(line.startswith("*") for line in rows) == 1
    assert any(line.startswith("-  ") for line in rows)
    assert "assumed: judge accuracy 0.64, 0.55" in out


def test_json_says_the_same(plan):
    told = json.loads(plan("--pass-rate", 0.4, "--rollouts", "2,4", "--votes", 2, "--json")[1])
    assert [row["best"] for row in told["settings"]].count(True) == 1
    assert told["best"]["final"] == max(row["final"] for row in told["settings"] if row["best"])
    assert len(told["best"]["pass_at_1"]) == told["best"]["iterations"]


def test_a_better_judge_is_worth_more(plan):
    finals = [
        json.loads(plan("--pass-rate", 0.4, "--rollouts", 8, "--iterations", 1, "--judge-accuracy", one, "--json")[1])
        for one in (0.5, 0.9)
    ]
    assert finals[0]["best"]["final"] + 0.05 < finals[1]["best"]["final"]


def test_test_writers_and_banks_are_not_taken_for_summaries(run):
    before = measure(run).summary
    log = RunStore(run).ledger_log()
    for scope in ("t0/heat-0/writer-00", "t0/heat-0/bank", "t0/heat-0/rollout-00/evidence"):
        log.append(Charge(scope=scope, usage=Usage(calls=9, prompt_tokens=90_000, cost_usd=9.0, sandbox_s=3.0)))
    log.close()
    assert measure(run).summary == before


def test_a_run_says_how_good_the_model_is_and_what_it_costs(run):
    found = measure(run)
    assert found.mean == pytest.approx(21 / 48)
    assert (found.steps, found.step) == ((5.0,), Cost(tokens=100, usd=pytest.approx(0.01), seconds=2.0))
    assert found.summary == Cost(tokens=200, usd=pytest.approx(0.02))
    assert found.accuracy == ()
    assert 0 < min(found.rates) < 0.2 < 0.8 < max(found.rates) < 1


def test_parts_of_attempts_are_not_taken_for_attempts(plan, run):
    rollout = RunStore(run).task("t0").rollout("heat-0/rollout-00")
    rollout.finish(rollout.outcome().model_copy(update={"exit": "paused"}), rollout.patch())
    code, _, err = plan("--from", run)
    assert code == 2 and "played in slices" in err and len(err.splitlines()) == 1


def test_a_plan_from_a_run_uses_its_figures(plan, run):
    code, out, err = plan("--from", run, "--rollouts", 4, "--iterations", 1, "--votes", 2, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["best"]["pass_at_1"][0] == pytest.approx(21 / 48, abs=0.15)
    assert told["best"]["tokens"] == pytest.approx(4 * 500 + 4 * 200)
    assert any("12 tasks" in note for note in told["notes"])
    assert any("accuracy not measured" in note for note in told["notes"])


def test_concentration_tells_polarised_tasks_from_equal_ones():
    assert fit_concentration([(0, 8), (8, 8)] * 10) < 0.2
    assert fit_concentration([(4, 8)] * 20) > 20


def test_the_paper_is_printed_beside_the_simulation(plan):
    code, out, _ = plan("--reproduce", "paper", "--tasks", 3)
    assert code == 0
    assert "| Claude 4.5 Opus, Terminal-Bench 2.0 | 46.95 | 54.26 |" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--pass-rate 0.4, or --from RUN"),
        (["--pass-rate", "1.2"], "between 0 and 1"),
        (["--pass-rate", "0.4", "--rollouts", "4,x"], "--rollouts 4,x"),
        (["--pass-rate", "0.4", "--group-size", "1"], "from 2"),
        (["--pass-rate", "0.4", "--rollouts", "2", "--select-k", "4", "--iterations", "2"], "--select-k"),
        (["--pass-rate", "0.4", "--budget-usd", "3"], "--budget-usd"),
        (["--pass-rate", "0.4", "--concentration", "-1"], "--concentration"),
        (["--pass-rate", "0.4", "--refined", "0.5"], "at least 2"),
        (["--pass-rate", "0.4", "--step-tokens", "-5"], "--step-tokens -5"),
        (["--pass-rate", "0.4", "--vote-seconds", "inf"], "--vote-seconds inf"),
        (["--pass-rate", "0.4", "--budget-usd", "nan", "--step-cost", "1"], "--budget-usd nan"),
        (["--from", "nowhere"], "nowhere"),
        (["--reproduce", "magic"], "magic"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(plan, arguments, told):
    code, out, err = plan(*arguments)
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1)
    assert told in err


def test_the_plot_shows_every_setting_the_frontier_the_limit_and_the_best(plan, tmp_path):
    asked = ("--pass-rate", 0.4, "--step-tokens", 900, "--token-price", 1, "--budget-usd", 0.3)
    code, out, _ = plan(*asked, "--plot", tmp_path / "p.svg", "--json")
    told, drawn = json.loads(out), (tmp_path / "p.svg").read_text()
    root = ElementTree.fromstring(drawn)
    dots = [one for one in root.iter("{http://www.w3.org/2000/svg}circle") if len(one)]
    assert code == 0
    assert len(dots) == len(told["settings"])
    assert sum("over" in one.get("class") for one in dots) == sum(not one["within_limits"] for one in told["settings"])
    assert drawn.count(f"N={told['best']['rollouts']}, ") > 1 and ">limit<" in drawn and "USD for a task" in drawn


def test_no_setting_on_the_frontier_is_beaten_by_a_cheaper_one():
    methods = settings(Method(early_stop=True), [2, 4, 8], [2], [2], [2, 8], [1, 2])
    found = list(outlooks(methods, WORLD, PRICES, TaskLimits(), tasks=60))
    line = frontier(found, "usd")
    for one in found:
        assert one in line or any(o.usd <= one.usd and o.forecast.final >= one.forecast.final for o in line)


@pytest.mark.parametrize(("name", "code"), [("p.png", 0), ("p.pdf", 2), ("none/p.png", 2)])
def test_a_plot_is_svg_or_png(plan, tmp_path, name, code):
    pytest.importorskip("matplotlib")
    assert plan("--pass-rate", 0.4, "--rollouts", "2,4", "--plot", tmp_path / name)[0] == code
    assert (tmp_path / name).exists() == (code == 0)


def test_a_rollout_costs_more_than_its_steps_and_waves_of_votes_take_time(plan):
    asked = ("--pass-rate", 0.4, "--rollouts", 4, "--iterations", 1, "--steps", 10, "--vote-seconds", 5, "--json")
    dear = json.loads(plan(*asked, "--rollout-cost", 0.5, "--rollout-seconds", 30)[1])["best"]
    cheap, never = (json.loads(plan(*asked, *more)[1])["best"] for more in ((), ("--no-early-stop",)))
    assert (dear["cost_usd"], cheap["cost_usd"], dear["seconds"] - cheap["seconds"]) == (2.0, 0.0, pytest.approx(30.0))
    assert never["seconds"] == pytest.approx(5 + 2 * 5)
    assert 5 + 2 * 5 * 1.2 < cheap["seconds"] < 5 + 2 * 5 * 3


def test_policies_over_the_time_limit_are_marked_and_not_recommended(plan):
    asked = ("--pass-rate", 0.4, "--rollouts", 4, "--iterations", "1,2", "--step-seconds", 10, "--budget-seconds", 700)
    told = json.loads(plan(*asked, "--json")[1])
    assert {one["within_limits"] for one in told["policies"]} == {True, False}
    assert all(one["within_limits"] == (one["seconds"] <= 700) for one in told["policies"])
    assert all(one["within_limits"] for one in told["policies"] if one["recommended"])


def test_that_no_policy_is_within_the_limits_is_said(plan):
    _, out, _ = plan("--pass-rate", 0.4, "--rollouts", 2, "--iterations", 1, "--budget-calls", 1)
    assert "no policy is within the limits" in out


def test_it_says_that_it_computes(plan):
    code, _, err = plan("--pass-rate", "0.4", "--rollouts", "2", "--iterations", "1", "--select-k", "1", "--votes", "2")
    assert (code, err) == (0, "simulating 1 setting\nsimulating 3 policy settings\n")
