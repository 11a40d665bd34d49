"""Published images: a real registry whose pulls fail as the large ones do, and a sweep over ten rows whose images it
has, killed and resumed, with the data set from a stand-in of the Hub."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time

import pytest
from hub_stand_in import hub
from registry import running_registry

from envs.base import Task
from heats.errors import PreflightFailed
from heats.store.lock import Lock
from heats.sweep.images import ImageKeeper
from sandbox import SandboxConfig, open_backend

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1500)]

TINY = "heats-test/sweb.eval.x86_64.tiny_1776_tiny-1:latest"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    with running_registry(folder) as found:
        (folder / "image").mkdir()
        (folder / "image" / "Dockerfile").write_text("FROM scratch\nCOPY note /note\n")
        (folder / "image" / "note").write_text(secrets.token_hex(8))
        subprocess.run(["docker", "build", "-q", "-t", TINY, str(folder / "image")], check=True, capture_output=True)
        found.publish(TINY, TINY)
        subprocess.run(["docker", "rmi", TINY], check=True, capture_output=True)
        yield found


@pytest.fixture
async def backend():
    backend = await open_backend(SandboxConfig(backend="docker"))
    yield backend
    await backend.close()


async def pull(registry, backend, folder, **more):
    """Pull the tiny image through the proxy; returns the seconds that it took."""
    task = Task(id="0", statement="s", image=f"{registry.faulty}/{TINY}")
    keeper = ImageKeeper(pull=True, say=print, wait_s=0.05, **more)
    started = time.monotonic()
    try:
        await keeper.fetch(None, keeper.needed(folder, [task], {"0"}), backend)
    finally:
        subprocess.run(["docker", "rmi", task.image], capture_output=True, check=False)
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("pattern", "times", "status"),
    [("/manifests/", 2, 503), ("/manifests/", 5, 429), ("/blobs/", 1, 0), ("/manifests/", 2, 0)],
    ids=["unavailable", "rate-limited", "cut off", "no answer"],
)
async def test_a_pull_that_fails_for_a_while_is_tried_again(pattern, times, status, registry, backend, tmp_path):
    registry.faults.plan(pattern, times, status)
    await pull(registry, backend, tmp_path)


@pytest.mark.parametrize(
    ("status", "seconds", "said", "requests"),
    [
        (429, 0, "the registry limits pulls: `docker login`, or wait; the same command pulls the rest", range(6, 99)),
        (401, 0, "`docker login` for a private image, or correct its name", range(1, 4)),
        (200, 9, "not finished within 1 s", range(1, 99)),
    ],
    ids=["rate-limited", "unauthorised", "time-out"],
)
async def test_a_pull_that_keeps_failing_ends_in_one_line(status, seconds, said, requests, registry, backend, tmp_path):
    registry.faults.plan("/manifests/", 99, status, seconds)
    before = len(registry.faults.given)
    try:
        with pytest.raises(PreflightFailed, match=r"could not pull localhost.*tiny-1:latest") as caught:
            await pull(registry, backend, tmp_path, **({"timeout_s": 1} if seconds else {}))
    finally:
        registry.faults.planned.clear()
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert len(registry.faults.given) - before in requests


PROJECT = """FROM heats-base:latest
RUN git init -q /testbed && cd /testbed && git config user.name a && git config user.email a@b \\
 && printf 'def add(a, b):\\n    return a - b\\n' >calc.py && git add -A && git commit -qm base
WORKDIR /testbed
"""
OWN_BYTES = 5_000_000
"""What each image has for itself."""
GOLD = """diff --git a/calc.py b/calc.py
--- a/calc.py
+++ b/calc.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return a - b
+    return a + b
"""
TEST = """diff --git a/tests/adds.t b/tests/adds.t
new file mode 100644
--- /dev/null
+++ b/tests/adds.t
@@ -0,0 +1,2 @@
+python3 -c 'from calc import add; assert add(2, 3) == 5' 2>/dev/null || printf 'not '
+echo 'ok 1 adds'
"""
ROWS = 10


@pytest.fixture(scope="module")
def published(registry, tmp_path_factory):
    """Ten rows, with an image for each in the registry and nowhere else."""
    folder, rows, project = tmp_path_factory.mktemp("ten"), [], "heats-test-ten:project"
    build = ["docker", "build", "-q", "--label", f"heats.test={folder.name}", "-t"]
    (folder / "Dockerfile").write_text(PROJECT)
    subprocess.run([*build, project, str(folder)], check=True, capture_output=True)
    reading = ["docker", "run", "--rm", project, "git", "-C", "/testbed", "rev-parse", "HEAD"]
    commit = subprocess.run(reading, check=True, capture_output=True, text=True).stdout.strip()
    (folder / "Dockerfile").write_text(f"FROM {project}\nCOPY own /opt/own\n")
    for number in range(ROWS):
        local, name = f"heats-test-ten:{number}", f"swebench/sweb.eval.x86_64.calc_1776_calc-{number}:latest"
        (folder / "own").write_bytes(secrets.token_bytes(OWN_BYTES))
        subprocess.run([*build, local, str(folder)], check=True, capture_output=True)
        registry.publish(local, name)
        subprocess.run(["docker", "rmi", local], check=True, capture_output=True)
        rows.append({
            "instance_id": f"calc__calc-{number}", "repo": "calc/calc", "version": "1", "base_commit": commit,
            "problem_statement": "add subtracts", "patch": GOLD, "test_patch": TEST, "log_parser": "parse_log_tap",
            "test_cmd": "sh tests/adds.t", "FAIL_TO_PASS": ["adds"], "PASS_TO_PASS": [],
        })  # fmt: skip
    yield rows
    subprocess.run(["docker", "rmi", project], check=False, capture_output=True)


def play(registry, served, rows_name, run, *more, kill_after=0):
    """Run the sweep; returns exit code, printed object, stderr, and the most images that were there at one time."""
    template = f"{registry.faulty}/swebench/sweb.eval.x86_64.{{instance_id}}:latest"
    command = [
        *(sys.executable, "-c", "from heats.cli import main; main()", "sweep", rows_name),
        *("--agent", "oracle", "-k", "1"),
        *("--iterations", "1", "--model", "builtin:repair", "--sandbox", "docker", "--workers", "1", "--pull", *more),
        *("-O", f"image_template={template}", "--out", str(run), "--progress", "quiet", "--json"),
        *("-c", "retries.wait_s=0", "-c", f"sandbox.scratch_dir={run.parent}/scratch"),
    ]
    keep = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env = {**keep, "HF_ENDPOINT": served.url, "HF_HOME": str(run.parent / "hub")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    most, ended = [0], threading.Event()

    def watch():
        while not ended.wait(1):
            most[0] = max(most[0], len(registry.pulled()))
            if kill_after and len(list(run.glob("tasks/*/result.json"))) >= kill_after:
                process.send_signal(signal.SIGKILL)

    watching = threading.Thread(target=watch)
    watching.start()
    out, err = process.communicate(timeout=600)
    ended.set()
    watching.join()
    return process.returncode, json.loads(out or "null"), err, most[0]


def test_ten_rows_from_a_failing_registry_killed_resumed_and_graded(registry, published, tmp_path):
    for number, status in ((1, 503), (3, 429), (4, 0), (7, 503)):
        registry.faults.plan(rf"calc-{number}/manifests/", 1, status)
    data = "".join(json.dumps(row) + "\n" for row in published).encode()
    with hub({"org/ten": [{"test.jsonl": data}]}) as served:
        code, _, err, first = play(registry, served, "org/ten", tmp_path / "run", "--prune-images", kill_after=3)
        assert code == -signal.SIGKILL, err
        code, found, err, most = play(registry, served, "org/ten", tmp_path / "run", "--prune-images")
    assert code == 0, err
    assert len(found["results"]) == ROWS and not found["counts"].get("error"), found["results"]
    grades = [json.loads(path.read_bytes())["outcome"] for path in (tmp_path / "run" / "grades").rglob("*.json")]
    assert grades == ["pass"] * ROWS
    lock = Lock.model_validate_json((tmp_path / "run" / "lock.json").read_bytes())
    assert len(lock.images) == ROWS and lock.data.revision
    print(f"most images at once: {max(first, most)} of {ROWS}; left: {len(registry.pulled())}")
    assert not registry.pulled()
    assert max(first, most) <= 5
