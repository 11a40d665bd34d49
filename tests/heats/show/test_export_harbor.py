"""A run as a Harbor job: the layout is correct, and harbor's own models read every document in it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import HostileVoice

from heats.export.harbor import export_harbor
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]
MODELS = Path(__file__).resolve().parents[2] / "tools" / "harbor_models.py"


def test_every_rollout_is_a_trial_with_its_files(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=2)
    (job,) = export_harbor(run, tmp_path)
    trials = [path for path in job.iterdir() if path.is_dir()]
    assert len(trials) == 2 * 2 * 8
    result = run.task("demo__task-000").result()
    heat, number = result.selected.removeprefix("heat-").split("/rollout-")
    trial = job / f"demo__task-000__h{heat}-r{number}"
    files = {path.relative_to(trial).as_posix() for path in trial.rglob("*") if path.is_file()}
    assert {"config.json", "result.json", "agent/trajectory.json", "artifacts/patch.diff"} <= files
    told = json.loads((trial / "result.json").read_text())
    assert told["agent_result"]["metadata"]["selected"] is True
    patch = run.task("demo__task-000").rollout(result.selected).patch().data
    assert (trial / "artifacts" / "patch.diff").read_bytes() == patch


def test_each_heat_is_an_agent_of_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    (job,) = export_harbor(make_run(tasks=2), tmp_path)
    told = json.loads((job / "result.json").read_text())
    assert sorted(told["stats"]["evals"]) == [
        "heats-heat-0__builtin:repair__adhoc",
        "heats-heat-1__builtin:repair__adhoc",
    ]
    assert json.loads((job / "config.json").read_text())["n_attempts"] == 8


def test_without_grades_the_reward_is_called_verified(make_run: MakeRun, tmp_path: Path) -> None:
    (job,) = export_harbor(make_run(tasks=1, graded=False), tmp_path)
    rewards = [json.loads(path.read_text()) for path in job.glob("*/verifier/reward.json")]
    assert rewards
    assert all(list(one) == ["verified"] for one in rewards)


def test_long_names_of_tasks_do_not_meet(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=2, voice=lambda said: "x" * 60 + said, heats=1, rollouts=2, keep=1)
    (job,) = export_harbor(run, tmp_path)
    assert len([path for path in job.iterdir() if path.is_dir()]) == 4


@pytest.mark.slow
@pytest.mark.tool("harbor")
@pytest.mark.parametrize("plan", ["plain", "ungraded", "hostile", "broken off"])
def test_harbors_own_models_read_it_and_count_the_same(
    make_run: MakeRun, tmp_path: Path, tool_env: Callable[[str], Path], plan: str
) -> None:
    voice = {"voice": HostileVoice()} if plan == "hostile" else {}
    run = make_run(tasks=2, graded=plan != "ungraded", infra_share=0.2, **voice)
    if plan == "broken off":
        next(run.directory.glob("tasks/*/heat-1/rollout-00/outcome.json")).unlink()
    (job,) = export_harbor(run, tmp_path)
    program = [tool_env("harbor") / "bin" / "python", MODELS, job]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_float=lambda text: round(float(text), 9))
    assert found["trials"] == len(list(job.glob("*/result.json")))
    assert found["steps"] > 0
    assert found["told"].pop("n_running_trials") == found["counted"].pop("n_running_trials") == 0
    assert found["told"] == found["counted"]
