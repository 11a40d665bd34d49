"""Data sets with places of their own in an image: SWE-bench Pro, R2E-Gym and Multi-SWE-bench."""

import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import swebench_rows as rows
from cheat_code import TESTS
from swebench_shop import make_tree
from test_swebench_datasets import IDLE

from envs.machine import prepared, spec_for
from envs.swebench import SweBenchEnv, SweBenchSource
from sandbox import SandboxConfig, open_backend
from sandbox.base import SandboxBackend

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]

IMAGE = "heats-test-datasets:latest"
DOCKERFILE = """FROM heats-base:latest
COPY tree /testbed
RUN chown -R 0:0 /testbed && cp -a /testbed /app && cp -a /testbed /home/shop && mkdir /r2e_tests \\
 && echo answer >/home/fix.patch && echo tests >/home/test.patch \\
 && echo 'python3 -m pytest -rA r2e_tests' >/testbed/run_tests.sh
COPY hidden.py /r2e_tests/test_1.py
"""
RUN = """#!/bin/bash
echo "running $*"
python3 -m pytest -v ${1//,/ }
echo "noise on the other stream" >&2
exit 3
"""
READ = """import json, sys
tests = []
assert "noise" in open(sys.argv[2]).read() and "noise" not in open(sys.argv[1]).read()
for line in open(sys.argv[1]):
    words = line.split()
    if len(words) > 1 and "::" in words[0] and words[1] in ("PASSED", "FAILED", "SKIPPED", "ERROR"):
        tests.append({"name": words[0], "status": words[1]})
json.dump({"tests": tests}, open(sys.argv[3], "w"))
"""


@pytest.fixture(scope="module")
def commit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base commit in the image; the image exists while the module's tests run."""
    folder = tmp_path_factory.mktemp("datasets")
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

    def git(place: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=place, env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **who},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    found = make_tree(folder / "tree", git)
    (folder / "hidden.py").write_bytes(TESTS)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    subprocess.run(["docker", "build", "-q", "-t", IMAGE, str(folder)], check=True, capture_output=True)
    yield found
    subprocess.run(["docker", "rmi", "-f", IMAGE], check=False, capture_output=True)


@pytest.fixture
async def docker() -> AsyncIterator[SandboxBackend]:
    backend = await open_backend(SandboxConfig(backend="docker"))
    yield backend
    await backend.close()


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., SweBenchEnv]:
    def open_one(row: dict[str, Any], **options: Any) -> SweBenchEnv:
        (tmp_path / "rows.json").write_text(json.dumps([row]))
        source = {"source": str(tmp_path / "rows.json"), "image_template": IMAGE, "test_timeout_s": 120, **options}
        return SweBenchEnv.open(SweBenchSource(**source))

    return open_one


async def graded(env: SweBenchEnv, docker: SandboxBackend) -> list[tuple[str, str]]:
    (task,) = env.tasks()
    grades = [await env.grade(task, patch, docker) for patch in (env.reference(task.id), IDLE)]
    return [(grade.outcome, grade.reason) for grade in grades if grade is not None]


async def test_swe_bench_pro_is_graded_by_its_own_scripts_in_a_sandbox_of_their_own(
    commit: str, docker: SandboxBackend, opened: Callable[..., SweBenchEnv], tmp_path: Path
) -> None:
    row = rows.pro(commit)
    folder = tmp_path / "SWE-bench_Pro-os" / "run_scripts" / row["instance_id"]
    folder.mkdir(parents=True)
    (folder / "run_script.sh").write_text(RUN)
    (folder / "parser.py").write_text(READ)
    env = opened(row, scripts=str(tmp_path / "SWE-bench_Pro-os"))
    assert await env.unusable(grading=True) == {}
    gold, idle = await graded(env, docker)
    assert gold[0] == "pass", gold
    assert idle == ("fail", f"1 of 2 expected tests do not pass: {rows.TOTAL}")
    (folder / "parser.py").write_text("raise ValueError")
    blind, _ = await graded(opened(row, scripts=str(tmp_path / "SWE-bench_Pro-os")), docker)
    assert blind[0] == "fail" and "no test results" in blind[1]


async def test_hidden_tests_in_the_image_are_kept_from_attempts_and_grade_them(
    commit: str, docker: SandboxBackend, opened: Callable[..., SweBenchEnv]
) -> None:
    """R2E-Gym's images hold the hidden tests where any attempt could read them."""
    row = rows.r2e(commit) | {"expected_output_json": json.dumps({"test_total": "PASSED", "test_count": "PASSED"})}
    env = opened(row)
    (task,) = env.tasks()
    async with prepared(env, task, docker, spec_for(task)) as box:
        found = await box.exec("ls -d /r2e_tests /testbed/r2e_tests /testbed/run_tests.sh", timeout=60)
        assert found.stdout == b""
        await box.exec("sed -i s/-=/+=/ shop/cart.py", timeout=60)
        patch = await env.collect(task, box)
    assert patch.data.count(b"diff --git") == 1
    grade = await env.grade(task, patch, docker)
    assert grade is not None and grade.outcome == "pass", grade
    idle = await env.grade(task, IDLE, docker)
    assert idle is not None and idle.reason == "1 of 2 expected tests do not pass: test_total"


async def test_the_answer_in_the_image_is_kept_from_attempts(
    commit: str, docker: SandboxBackend, opened: Callable[..., SweBenchEnv]
) -> None:
    """Multi-SWE-bench's images hold the reference patch as a file, and attempts could read it."""
    env = opened(rows.multi(commit))
    (task,) = env.tasks()
    async with prepared(env, task, docker, spec_for(task)) as box:
        found = await box.exec("ls /home", timeout=60)
        assert {"shop"} == {*found.text().split()} - {"shop.env.sh"}
