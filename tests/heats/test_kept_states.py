"""End states kept as images: graded after a kill, graded again, and never failed merely for missing processes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.harbor.endstate import left_running
from heats.store.store import RunStore

sys.path.append(str(Path(__file__).parent.parent / "envs"))
from tiny_harbor import write_task

SLOW_TEST = '#!/bin/bash\nsleep 2\n[ "$(cat answer.txt)" = 42 ] && echo 1 >/logs/verifier/reward.txt\n'
SERVICE = "#!/bin/bash\necho 42 >answer.txt\nsetsid tail -f /dev/null >/dev/null 2>&1 &\n"
ASKS_SERVICE = """#!/bin/bash
sleep 2
grep -qs '^tail' /proc/[0-9]*/cmdline && echo 1 >/logs/verifier/reward.txt || echo 0 >/logs/verifier/reward.txt
"""


class Heats:
    """`heats` in a separate process over tiny Harbor tasks."""

    def __init__(self, folder, run_dir):
        self.folder, self.run_dir = folder, run_dir
        self.scratch = ("-c", f"sandbox.scratch_dir={run_dir.parent / 'scratch'}")

    def start(self, *arguments):
        command = [sys.executable, "-c", "from heats.cli import main; main()", *arguments, "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)

    def sweep(self, *more):
        method = ["--rollouts", "2", "--iterations", "1", "--votes", "1", "--workers", "4", "--model", "builtin:repair"]
        where = ["--sandbox", "docker", "--out", str(self.run_dir), "--progress", "quiet", *self.scratch]
        return self.start("sweep", str(self.folder), "--agent", "oracle", *method, *where, *more)

    def grade(self):
        return self.start("grade", str(self.run_dir), "-d", str(self.folder), "--redo", *self.scratch)

    def events(self):
        path = self.run_dir / "events.jsonl"
        whole = path.read_text().split("\n")[:-1] if path.exists() else []  # the last line may be incomplete
        return [json.loads(line) for line in whole]

    def grades(self, task):
        store = RunStore(self.run_dir)
        return [store.grades.grade(task, rollout) for rollout in ("heat-0/rollout-00", "heat-0/rollout-01")]


def kept_images(run_dir):
    command = ["docker", "images", "-q", "--filter", f"label=heats.run={run_dir.name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_kill_before_the_deferred_grading_loses_no_state_of_files_and_makes_no_wrong_answer(tmp_path):
    write_task(tmp_path / "tasks", "files", {"tests/test.sh": SLOW_TEST})
    write_task(tmp_path / "tasks", "service", {"tests/test.sh": ASKS_SERVICE, "solution/solve.sh": SERVICE})
    heats = Heats(tmp_path / "tasks", tmp_path / f"kept-{tmp_path.name}")
    process = heats.sweep("--within-timeout")
    while process.poll() is None and sum(one["kind"] == "task_finished" for one in heats.events()) < 2:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert heats.grades("files") == [None, None]
    told, said = (resumed := heats.sweep("--within-timeout")).communicate(timeout=200)
    assert resumed.returncode == 3, said
    assert [one.outcome for one in heats.grades("files")] == ["pass", "pass"]
    assert {one.reason for one in heats.grades("files")} == {"from the kept files: reward 1"}
    assert [one.outcome for one in heats.grades("service")] == ["invalid", "invalid"]
    assert "without its running processes" in heats.grades("service")[0].reason
    assert len(kept_images(heats.run_dir)) == 2  # the service's: there is nothing else to grade
    assert json.loads(told)["counts"] == {"not verified": 2}
    subprocess.run(["docker", "rmi", "-f", *kept_images(heats.run_dir)], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_state_is_graded_again_where_it_was_kept_and_keeps_its_grade_where_it_was_not(tmp_path):
    write_task(tmp_path / "tasks")
    heats = Heats(tmp_path / "tasks", tmp_path / f"again-{tmp_path.name}")
    told, said = (sweep := heats.sweep("--within-timeout", "--keep-state")).communicate(timeout=200)
    assert sweep.returncode == 0, said
    assert len(kept_images(heats.run_dir)) == 1
    told, said = (again := heats.grade()).communicate(timeout=200)
    assert again.returncode == 0, said
    assert sorted(one.reason for one in heats.grades("answer")) == ["from the kept files: reward 1", "reward 1"]
    assert said.count("as before: its end state was not kept") == 1
    assert json.loads(told)["resolved_instances"] == 1
    subprocess.run(["docker", "rmi", "-f", *kept_images(heats.run_dir)], check=True, capture_output=True)


def test_a_description_says_whether_something_was_left_running():
    assert left_running(b"# heats\n\nprocesses still running:\nnginx\n\nlistening")
    assert not left_running(b"# heats\n\nprocesses still running:\n(none)\n\nlistening")
    assert not left_running(b"")
