"""Instances in Docker images: a tiny one built here, graded by us and by both official harnesses; and real ones.

The real ones need their rows and images: `HEATS_SWEBENCH=rows.jsonl`, and the images that `python
benchmarks/swebench_images.py --rows rows.jsonl` builds (docs/swebench.md).
"""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cheats import CHEATS
from swebench_shop import GOLD, NEW_TESTS, OLD_TESTS, diff, make_tree

from envs.base import Grade, Patch, Task
from envs.machine import prepared, spec_for
from envs.swebench import SweBenchEnv, SweBenchSource
from sandbox import SandboxConfig, open_backend
from sandbox.base import SandboxBackend
from sandbox.errors import ImageMissing

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]

INSTANCE = "django__django-16485"
"""A name that harness 4.1 knows; its image is ours, in a separate namespace."""
IMAGE = "heats-test/sweb.eval.x86_64.django_1776_django-16485:latest"
# What harness 4.1 starts for this name.
RUNTESTS = """#!/usr/bin/env python3
import sys, unittest
sys.path.insert(0, ".")
names = ["tests." + name for name in sys.argv[1:] if "unit_cart" in name]
sys.exit(not unittest.main(module=None, argv=["x", "-v", *names], exit=False).result.wasSuccessful())
"""
DOCKERFILE = f"""FROM heats-base:latest
COPY tree /testbed
RUN chown -R 0:0 /testbed && mkdir -p /opt/miniconda3/bin && echo 'conda() {{ :; }}' >/opt/miniconda3/bin/activate
WORKDIR /testbed
LABEL heats.test={IMAGE.partition(":")[0].replace("/", "-")}
"""
IDLE = {"notes.txt": b"nothing\n"}
SPOOF = {"shop/cart.py": CHEATS["output spoofed, then exit"]["shop/cart.py"]}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The rows file of the tiny instance; its image exists while the module's tests run."""
    folder = tmp_path_factory.mktemp("tiny")
    git = _git(folder)
    commit = make_tree(folder / "tree", git)
    (folder / "tree/tests/runtests.py").write_text(RUNTESTS)
    (folder / "tree/tests/runtests.py").chmod(0o755)
    git(folder / "tree", "add", "-A")
    git(folder / "tree", "commit", "-q", "--amend", "-m", "base")
    commit = git(folder / "tree", "rev-parse", "HEAD")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    subprocess.run(["docker", "build", "-q", "-t", IMAGE, str(folder)], check=True, capture_output=True)
    path = "tests/unit_cart.py"
    row = {
        "instance_id": INSTANCE, "repo": "django/django", "version": "5.0", "base_commit": commit,
        "problem_statement": "total is negative", "test_patch": diff(path, OLD_TESTS[path], NEW_TESTS[path]),
        "patch": "", "test_cmd": "./tests/runtests.py unit_cart", "log_parser": "django", "docker_image": IMAGE,
        "FAIL_TO_PASS": ["test_total (tests.unit_cart.CartTest.test_total)"],
        "PASS_TO_PASS": ["test_count (tests.unit_cart.CartTest.test_count)"],
    }  # fmt: skip
    (folder / "rows.json").write_text(json.dumps([row]))
    yield folder / "rows.json"
    subprocess.run(["docker", "rmi", "-f", IMAGE], check=False, capture_output=True)


def _git(home: Path) -> Callable[..., str]:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", **who}

    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run


@pytest.fixture
async def docker() -> AsyncIterator[SandboxBackend]:
    backend = await open_backend(SandboxConfig(backend="docker"))
    yield backend
    await backend.close()


async def attempt(env: SweBenchEnv, task: Task, backend: SandboxBackend, files: Any) -> Patch:
    async with prepared(env, task, backend, spec_for(task)) as box:
        for path, data in files.items():
            await box.write_file(f"{task.workdir}/{path}", data)
        return await env.collect(task, box)


async def graded(env: SweBenchEnv, task: Task, patch: Patch, backend: SandboxBackend) -> Grade:
    grade = await env.grade(task, patch, backend)
    assert grade is not None
    return grade


async def test_a_tiny_instance_is_graded_in_its_image(tiny: Path, docker: SandboxBackend) -> None:
    env = SweBenchEnv.open(SweBenchSource(source=str(tiny)))
    [task] = env.tasks()
    outcomes = []
    for files in (GOLD, IDLE, SPOOF):
        grade = await graded(env, task, await attempt(env, task, docker, files), docker)
        outcomes.append(grade.outcome)
    assert outcomes == ["pass", "fail", "fail"]


@pytest.mark.parametrize(
    "tool", [pytest.param(name, marks=pytest.mark.tool(name)) for name in ("swebench4", "swebench5")]
)
async def test_the_official_harness_agrees_test_by_test(
    tool: str, tiny: Path, docker: SandboxBackend, tool_env: Callable[[str], Path]
) -> None:
    own = SweBenchEnv.open(SweBenchSource(source=str(tiny)))
    python = tool_env(tool) / "bin" / "python"
    official = SweBenchEnv.open(SweBenchSource(source=str(tiny), grader="official", swebench_python=python))
    [task] = own.tasks()
    for files in (GOLD, IDLE):
        patch = await attempt(own, task, docker, files)
        ours, theirs = await graded(own, task, patch, docker), await graded(official, task, patch, docker)
        assert ours.report is not None and theirs.report is not None, theirs.reason
        assert ours.outcome == theirs.outcome
        assert {test: ours.report.tests[test] for test in theirs.report.tests} == dict(theirs.report.tests)


ROWS = os.environ.get("HEATS_SWEBENCH", "")
_NO_ROWS = "no real instances: name their rows with HEATS_SWEBENCH and build images, see docs/swebench.md"


def real_ids() -> list[str]:
    """Ids of the rows in HEATS_SWEBENCH, or a single skipped id."""
    return [task.id for task in SweBenchEnv.open(SweBenchSource(source=ROWS)).tasks()] if ROWS else ["none"]


@pytest.mark.skipif(not ROWS, reason=_NO_ROWS)
@pytest.mark.parametrize("instance", real_ids())
async def test_a_real_instance_passes_with_gold_and_not_without(instance: str, docker: SandboxBackend) -> None:
    env = await asyncio.to_thread(SweBenchEnv.open, SweBenchSource(source=ROWS, only=(instance,)))
    [task] = env.tasks()
    try:
        await docker.preflight([task.image])
    except ImageMissing:
        pytest.skip(f"no image {task.image}: python benchmarks/swebench_images.py --rows {ROWS} {instance}")
    assert (await graded(env, task, env.reference(instance), docker)).outcome == "pass"
    for files in (IDLE, {"conftest.py": CHEATS["report hook in a conftest"]["conftest.py"]}):
        grade = await graded(env, task, await attempt(env, task, docker, files), docker)
        assert grade.outcome == "fail"
