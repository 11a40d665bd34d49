"""Scripts of judges on paper: which are shown in a match, what runs once, and what the budget leaves out."""

from types import SimpleNamespace

import pytest

from agents.llm.ledger import Ledger
from envs.base import Patch, Task
from heats.config import ExecutionConfig, load_config
from heats.retries import RetriesConfig
from heats.runner import probing
from heats.runner.probing import HeatProbe, open_probe
from heats.runner.rollout import TaskRun
from heats.runner.slots import Slots
from heats.store.store import TaskStore
from sandbox.base import ExecResult

NAMES = [f"heat-0/rollout-{index:02}" for index in range(4)]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Four rollouts with different patches, and every run of a script: (script, patch's line)."""
    ran = []

    async def run_script(env, task, patch, bench, script, *, timeout_s):
        line = patch.data.decode().rpartition("+")[2].strip()
        ran.append((script, line))
        if line == "odd":
            return None, "the patch does not apply: odd"
        return ExecResult("exited", 0, f"{script} {line}".encode(), stdout_total=9), ""

    monkeypatch.setattr(probing, "run_script", run_script)
    store = TaskStore(tmp_path, "one")
    for index, name in enumerate(NAMES):
        files = store.rollout(name).directory
        files.mkdir(parents=True)
        text = f"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-x\n+{'odd' if index == 3 else index}\n"
        (files / "patch.diff").write_bytes(Patch(text.encode()).data)

    def opened(**changes):
        base = load_config((), {"model.name": "fake:x", "tournament.judge.view": "probe"})
        config = base.model_copy(update={"retries": RetriesConfig(wait_s=0), **changes})
        services = SimpleNamespace(
            config=config, env=None, slots=Slots(1), bench=lambda _: None, backend=SimpleNamespace(name="paper"),
            events=SimpleNamespace(emit=lambda *_, **__: None),
        )  # fmt: skip
        task = Task(id="one", statement="", image="")
        return HeatProbe(TaskRun(services=services, task=task, store=store, ledger=Ledger("run")), 0)

    return SimpleNamespace(open=opened, ran=ran)


async def test_a_script_runs_on_the_base_and_on_every_contestant_once(lab):
    pair = (NAMES[0], NAMES[1])
    (found,) = await lab.open().run("r0-m0", pair, "try")
    assert found.base == "exit code 0\ntry" and found.tells_apart
    assert found.outputs == {NAMES[0]: "exit code 0\ntry 0", NAMES[1]: "exit code 0\ntry 1"}
    again = lab.open()
    assert again.script("r0-m0", pair) == "try"
    assert await again.run("r0-m0", pair, "try") == (found,)
    assert len(lab.ran) == 3


async def test_scripts_of_earlier_matches_are_run_on_the_contestants_of_later_ones(lab):
    probe = lab.open()
    await probe.run("r0-m0", (NAMES[0], NAMES[1]), "first")
    await probe.run("r0-m1", (NAMES[2], NAMES[3]), "second")
    final = await probe.run("r1-m0", (NAMES[0], NAMES[2]), "third")
    assert [one.script for one in final] == ["third", "second", "first"]
    assert ("first", "2") in lab.ran and len(lab.ran) == len(set(lab.ran)) == 3 + 3 + 3 + 2


async def test_a_later_match_changes_nothing_that_an_earlier_one_was_shown(lab):
    """Else a resumed run would find other scripts for a match than its votes were cast on."""
    probe = lab.open()
    first = await probe.run("r0-m0", (NAMES[0], NAMES[1]), "first")
    await probe.run("r1-m0", (NAMES[0], NAMES[2]), "third")
    assert await lab.open().run("r0-m0", (NAMES[0], NAMES[1]), "first") == first


async def test_a_patch_that_does_not_apply_is_said(lab):
    (found,) = await lab.open().run("r0-m0", (NAMES[0], NAMES[3]), "try")
    assert found.outputs[NAMES[3]] == "the patch does not apply: odd"


async def test_a_match_without_a_script_runs_nothing_and_is_not_asked_again(lab):
    assert await lab.open().run("r0-m0", (NAMES[0], NAMES[1]), "") == ()
    assert lab.open().script("r0-m0", (NAMES[0], NAMES[1])) == "" and not lab.ran


async def test_a_script_that_the_budget_does_not_allow_on_all_trees_is_not_shown(lab):
    assert await lab.open(execution=ExecutionConfig(sandboxes=2)).run("r0-m0", (NAMES[0], NAMES[1]), "try") == ()
    assert len(lab.ran) == 2


def test_only_the_view_probe_executes_and_only_for_patches(lab):
    run = lab.open().task_run
    assert open_probe(run, 0) is not None
    run.services.backend.name = "none"
    assert open_probe(run, 0) is None
