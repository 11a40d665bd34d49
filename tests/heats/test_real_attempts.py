"""The benchmark on real attempts scores what its cache holds, and runs nothing for that."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def patch(line: str) -> str:
    return f"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 0\n+{line}\n"


def test_a_patch_that_breaks_what_others_keep_is_not_chosen(tmp_path: Path) -> None:
    from envs.base import Patch
    from envs.same_change import change_key

    made = {"right": ("x = 1", True), "wrong": ("x = 2", False), "unknown": ("x = 3", None)}
    attempts = [
        {"instance_id": "one", "attempt_id": name, "model_patch": patch(line), "resolved": resolved}
        for name, (line, resolved) in made.items()
    ]
    keys = {name: change_key(Patch(patch(line).encode())) for name, (line, _) in made.items()}
    plan = {"runner": None, "files": ["t.py"], "stable": ["t.py::a"], "seconds": 1.0, "problem": ""}
    lines = [{"instance": "one", "tests": "plan", "patch": "", "plan": plan, "wall": 2.0}]
    for name, key in keys.items():
        broken = ["t.py::a"] if name == "wrong" else []
        lines.append({"instance": "one", "tests": "existing", "patch": key, "broken": broken, "wall": 1.5})
    for file, rows in (("attempts", attempts), ("cache", lines)):
        (tmp_path / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        sys.executable,
        "-m",
        "benchmarks.real_attempts",
        "--score",
        "--attempts",
        str(tmp_path / "attempts.jsonl"),
    ]
    ran = subprocess.run(
        [*command, "--cache", str(tmp_path / "cache.jsonl")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "| random | 50.0 |" in ran.stdout
    assert "| existing tests | 100.0 |" in ran.stdout
    assert "median 1.5 s" in ran.stdout
