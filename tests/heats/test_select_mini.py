"""`heats select` over files written by mini-swe-agent itself."""

import json
import os
import subprocess
import sys

import pytest
from processes import make_repository, model_server_of

from heats.errors import ExitCode

pytestmark = [pytest.mark.slow, pytest.mark.tool("mini")]

HAND_IN = "git add -A; git diff --cached > ../patch.txt; echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; cat ../patch.txt"
SCRIPT = {
    "one_seed": True,
    "rules": [
        {
            "when": "add\\(\\) subtracts",
            "variants": [
                ["cat calc.py", "sed -i 's/a - b/a + b/' calc.py", HAND_IN],
                ["sed -i 's/a - b/b - a/' calc.py", HAND_IN],
                ["ls", "sed -i 's/a - b/sum((a, b))/' calc.py", HAND_IN],
                ["ls", HAND_IN],
            ],
        }
    ],
}


def attempt(mini, directory, base_url, seed):
    """One run of mini with its local environment, in a separate repository."""
    repository = make_repository(directory / f"work{seed}" / "repo")
    output = directory / "attempts" / f"{seed}.traj.json"
    settings = [f"model.model_kwargs.api_base={base_url}", f"model.model_kwargs.seed={seed}"]
    layers = [part for layer in ("mini.yaml", *settings) for part in ("-c", layer)]
    command = [mini, "-t", "add() subtracts", "-m", "openai/fake-model", "-y", "--exit-immediately", "-o", output]
    command += ["--agent-class", "default"]
    told = {"MSWEA_CONFIGURED": "true", "MSWEA_COST_TRACKING": "ignore_errors", "OPENAI_API_KEY": "none"}
    told["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    environment = {**os.environ, **told, "MSWEA_GLOBAL_CONFIG_DIR": str(directory / "config")}
    ran = subprocess.run(
        [*command, *layers],
        cwd=repository,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert output.exists(), ran.stdout + ran.stderr


@pytest.mark.timeout(600)
def test_trajectories_of_mini_swe_agent_are_selected_from(tmp_path, tool_env):
    with model_server_of(tmp_path, SCRIPT) as base_url:
        for seed in range(4):
            attempt(tool_env("mini") / "bin" / "mini", tmp_path, base_url, seed)
        heats = [sys.executable, "-c", "from heats.cli import main; main()", "select", str(tmp_path / "attempts")]
        more = ["--json", "--progress", "quiet", "--out", str(tmp_path / "run")]
        tests = ["--repo", str(tmp_path / "work0" / "repo"), "--base", "HEAD", "--sandbox", "local", "--unsafe"]
        tests += ["--test", "python3 -c 'import calc; assert calc.add(2, 3) == 5'"]
        model = ["--model", "fake-model", "--base-url", base_url]
        environment = {**os.environ, "OPENAI_API_KEY": "none"}
        ran = subprocess.run(
            [*heats, *more, *tests, *model], capture_output=True, text=True, timeout=120, env=environment
        )
    assert ran.returncode == ExitCode.PASSES, ran.stdout
    (task,) = json.loads(ran.stdout)["tasks"]
    assert [place["verdict"] for place in task["ranking"]] == ["passes", "passes", "unverified", "no_patch"]
    assert task["ranking"][0]["votes"] > 0
