"""The GitHub Action: its files' promises, read from the YAML, and its steps, run as a runner would run them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from forge import Forge
from shop_repository import git

from heats.propose.proposal import read_run, write_bundle
from heats.store.store import RunStore

ROOT = Path(__file__).resolve().parents[3]
ACTION = ROOT / "action"
WORKFLOW = yaml.safe_load((ACTION / "workflow.yml").read_text())
ACTIONS = {name: yaml.safe_load((ACTION / name / "action.yml").read_text()) for name in ("solve", "propose")}
RunOf = Callable[..., RunStore]


def steps() -> Iterator[dict[str, Any]]:
    for part in (*WORKFLOW["jobs"].values(), *(action["runs"] for action in ACTIONS.values())):
        yield from part["steps"]


def test_the_job_that_runs_the_agent_has_no_token() -> None:
    assert WORKFLOW["permissions"] == {}
    solve, propose = WORKFLOW["jobs"]["solve"], WORKFLOW["jobs"]["propose"]
    assert solve["permissions"] == {"contents": "read"}
    assert propose["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert not re.search(r"github\.token|GITHUB_TOKEN|GH_TOKEN", yaml.dump(solve) + yaml.dump(ACTIONS["solve"]))
    assert set(re.findall(r"secrets\.\w+", yaml.dump(WORKFLOW))) == {"secrets.HEATS_API_KEY"}
    assert "HEATS_API_KEY" not in yaml.dump(propose)


def test_the_job_that_has_the_token_gets_the_bundle_and_runs_nothing_of_it() -> None:
    used = [step["uses"].partition("@")[0] for step in WORKFLOW["jobs"]["propose"]["steps"]]
    assert used == ["actions/checkout", "actions/download-artifact", "OWNER/heats/action/propose"]
    assert WORKFLOW["jobs"]["propose"]["if"] == "needs.solve.outputs.handed-over == 'true'"
    assert "heats solve" not in (ACTION / "propose" / "run.sh").read_text()


def test_only_people_with_rights_start_it() -> None:
    triggers = WORKFLOW[True]  # YAML parses `on` as a Boolean
    assert set(triggers) == {"issues", "workflow_dispatch"}
    assert triggers["issues"] == {"types": ["labeled"]}


def test_no_expression_stands_in_a_script() -> None:
    for step in steps():
        assert "${{" not in step.get("run", "")
    for script in ACTION.glob("*/run.sh"):
        assert "${{" not in script.read_text()


def test_everything_used_is_pinned_and_no_checkout_keeps_its_credentials() -> None:
    for step in steps():
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}|OWNER/heats/action/\w+@COMMIT", step["uses"])
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
    setup = (ROOT / "scripts" / "setup").read_text()
    assert "--require-hashes" in setup
    assert "sync --frozen" in setup
    for action in ACTIONS.values():
        assert action["runs"]["steps"][0]["run"] == '"$GITHUB_ACTION_PATH/../../scripts/setup"'


def test_inputs_and_outputs_fit_together() -> None:
    for name, action in ACTIONS.items():
        taken = set(re.findall(r"inputs\.([\w-]+)", yaml.dump(action["runs"])))
        assert taken == set(action["inputs"])
        script = (ACTION / name / "run.sh").read_text()
        for variable in action["runs"]["steps"][-1]["env"]:
            assert re.search(rf"\b{variable}\b", script) or variable == "GITHUB_TOKEN"
        (use,) = [
            step
            for job in WORKFLOW["jobs"].values()
            for step in job["steps"]
            if f"action/{name}@" in step.get("uses", "")
        ]
        needed = {key for key, value in action["inputs"].items() if value.get("required")}
        assert needed <= set(use["with"]) <= set(action["inputs"])


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., tuple[int, dict[str, str], str]]:
    """Runs the last step of an action as a runner does, in a copy of the action that uses the installed heats."""
    place, temp = tmp_path / "heats", tmp_path / "temp"
    shutil.copytree(ACTION, place / "action")
    (place / ".venv").symlink_to(ROOT / ".venv")
    temp.mkdir()

    def run(name: str, workspace: Path, extra: dict[str, str], **inputs: str) -> tuple[int, dict[str, str], str]:
        step, declared = ACTIONS[name]["runs"]["steps"][-1], ACTIONS[name]["inputs"]
        values = {key: inputs.get(key.replace("-", "_"), value.get("default", "")) for key, value in declared.items()}
        env = {
            key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: values[m[1]], text)
            for key, text in step["env"].items()
        }
        output = tmp_path / f"{name}.out"
        output.touch()
        env |= {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "RUNNER_TEMP": str(temp), "CI": "true"}
        env |= {"GITHUB_ACTION_PATH": str(place / "action" / name), "GITHUB_OUTPUT": str(output)}
        env |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), **extra}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, cwd=workspace, env=env, capture_output=True, text=True, timeout=240, check=False)
        said = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode, said, done.stdout + done.stderr

    return run


@pytest.fixture
def checkout(shop: Path, forge: Forge, tmp_path: Path) -> Path:
    """What the checkout action leaves: a shallow clone without credentials or an identity."""
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{shop}", str(tmp_path / "checkout"))
    git(tmp_path / "checkout", "remote", "set-url", "origin", f"{forge.url}/acme/shop")
    return tmp_path / "checkout"


@pytest.mark.slow
def test_the_second_job_opens_a_pull_request_from_the_bundle(
    checkout: Path, forge: Forge, fix: bytes, run_of: RunOf, runner: Callable[..., Any], tmp_path: Path
) -> None:
    write_bundle(tmp_path / "bundle", *read_run(run_of(fix)))
    extra = {"GITHUB_API_URL": f"{forge.url}/api/v3", "GIT_CONFIG_GLOBAL": os.devnull}
    code, said, log = runner("propose", checkout, extra, bundle=str(tmp_path / "bundle"), token=forge.token)
    assert code == 0, log
    assert said == {"branch": "heats/shop-1-2", "pull-request": "https://forge.test/acme/shop/pull/1"}
    assert forge.pulls[0]["draft"] is True
    assert git(forge.repository, "log", "-1", "--format=%an", "heats/shop-1-2") == "github-actions[bot]"
    assert forge.token not in log


@pytest.mark.slow
def test_the_second_job_takes_no_run_directory_and_no_spoilt_bundle(
    checkout: Path, forge: Forge, fix: bytes, run_of: RunOf, runner: Callable[..., Any], tmp_path: Path
) -> None:
    run = run_of(fix)
    extra = {"GITHUB_API_URL": f"{forge.url}/api/v3", "GIT_CONFIG_GLOBAL": os.devnull}
    code, _, log = runner("propose", checkout, extra, bundle=str(run.directory), token=forge.token)
    assert (code, "holds no proposal.json" in log) == (2, True)
    write_bundle(tmp_path / "bundle", *read_run(run))
    (tmp_path / "bundle" / "patch.diff").write_bytes(fix + b"x\n")
    code, _, _ = runner("propose", checkout, extra, bundle=str(tmp_path / "bundle"), token=forge.token)
    assert code == 4
    assert forge.pulls == []
    assert git(forge.repository, "branch", "--list", "heats/*") == ""


@pytest.mark.slow
@pytest.mark.bubblewrap
@pytest.mark.timeout(280)
def test_both_jobs_from_issue_to_pull_request(
    checkout: Path, forge: Forge, runner: Callable[..., Any], tmp_path: Path
) -> None:
    tests = "import unittest\nfrom price import total\n\n\nclass T(unittest.TestCase):\n    def test_half(self):\n"
    (checkout / "test_price.py").write_text(
        tests + "        self.assertEqual([total([10, 20], of) for of in (0, 25, 50)], [30, 22.5, 15])\n"
    )
    # The workflow names no test command and no image, so they are taken from here.
    (checkout / "heats.yaml").write_text("test: python3 -m unittest\nimage: host\n")
    git(checkout, "add", ".")
    git(checkout, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "Test it")
    stray = {"GITHUB_TOKEN": "must-not-be-seen-by-anyone", "GIT_CONFIG_GLOBAL": os.devnull}
    settings = {"model": "builtin:repair", "sandbox": "bubblewrap", "rollouts": "4", "iterations": "1"}
    issue = 'A discount makes things dearer"; echo $(touch pwned) `touch pwned`\n::set-output name=status::x'
    code, said, log = runner("solve", checkout, stray, issue=issue, **settings)
    assert code == 0, log
    assert (said["status"], said["handed-over"]) == ("verified", "true")
    assert not (checkout / "pwned").exists()
    assert not re.search(r"^::", log, re.MULTILINE)
    files = [path for path in Path(said["run-dir"]).rglob("*") if path.is_file()]
    assert all(b"must-not-be-seen" not in path.read_bytes() for path in files)
    assert sorted(os.listdir(said["bundle"])) == ["patch.diff", "proposal.json"]
    assert (tmp_path / "summary.md").read_text().startswith("# Verified")
    extra = {"GITHUB_API_URL": f"{forge.url}/api/v3", "GIT_CONFIG_GLOBAL": os.devnull}
    code, said, log = runner("propose", checkout, extra, bundle=said["bundle"], token=forge.token)
    assert code == 0, log
    mended: dict[str, Any] = {}
    # The built-in model writes the fix in one of several ways.
    exec(git(forge.repository, "show", f"{said['branch']}:price.py"), mended)
    assert mended["total"]([100], 10) == 90
    assert json.dumps(forge.pulls[0]["body"]).count("A discount makes things dearer") == 1
