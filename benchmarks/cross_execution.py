"""What cross-execution costs and achieves: `heats solve` on a small repository, without it and with it.

    python -m benchmarks.cross_execution --rollouts 8

The user's tests miss half of the bug, so both complete and partial fixes are verified. The model is scripted: each
rollout fixes the bug in one of eight ways, half of them complete, and writes a test for the part it noticed. The judge
votes at random. Reported are the number of test runs, the seconds from the last rollout's end to the table, and the
kind of fix that was chosen.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

ISSUE = "clamp() returns values outside of low and high"
BASE = {
    "calc.py": "def clamp(x, low, high):\n    return x\n",
    "tests/__init__.py": "",
    "tests/test_calc.py": "import unittest\nfrom calc import clamp\n\n\nclass TestClamp(unittest.TestCase):\n"
    "    def test_high(self):\n        self.assertEqual(clamp(5, 0, 3), 3)\n",
}
WHOLE = (
    "return max(low, min(x, high))",
    "return min(high, max(x, low))",
    "return low if x < low else min(x, high)",
    "return sorted((low, x, high))[1]",
)
HALF = (
    "return min(x, high)",
    "return high if x > high else x",
    "return min((x, high))",
    "return sorted((x, high))[0]",
)
VARIETY = 25
"""Number of different tests of each kind, so that rollouts rarely write the same one."""


def script() -> dict[str, Any]:
    """Approaches: rollouts that see the whole bug test for all of it, the others for half."""
    ways = []
    for at in range(VARIETY):
        ways += [_way(body, f"low_{at}", f"clamp(-{at + 1}, 0, 3), 0") for body in WHOLE]
        ways += [_way(body, f"high_{at}", f"clamp({at + 6}, 0, 3), 3") for body in HALF]
    random.Random(0).shuffle(ways)
    return {"rules": [{"when": "clamp", "variants": ways}]}


def _way(body: str, name: str, claim: str) -> list[str]:
    lines = ("import unittest", "from calc import clamp", "", "", f"class Test_{name}(unittest.TestCase):")
    test = "\n".join((*lines, "    def test_it(self):", f"        self.assertEqual({claim})"))
    return ["cat calc.py", f"sed -i 's/return x/{body}/' calc.py", f"cat > tests/test_{name}.py <<'END'\n{test}\nEND"]


def make_repository(path: Path) -> None:
    """The buggy repository, committed at a fixed time, since seeds depend on the commit id."""
    for name, text in BASE.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git = ["git", "-C", str(path), "-c", "user.name=t", "-c", "user.email=t@t"]
    dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")
    for step in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, *step], check=True, env=os.environ | dates)


def solve(folder: Path, asked: argparse.Namespace, crossing: bool) -> dict[str, Any]:
    """Run once, and return the results.

    Args:
        folder: working directory with repository and script.
        asked: command-line options.
        crossing: enable cross-execution.
    """
    out = folder / ("on" if crossing else "off")
    command = [sys.executable, "-c", "from heats.cli import main; main()", "solve", "--repo", str(folder / "repo")]
    command += ["--issue", ISSUE, "--test", "python3 -m unittest", "--model", f"fake:{folder / 'script.json'}"]
    command += ["--sandbox", asked.sandbox, "--rollouts", str(asked.rollouts), "--iterations", "1", "--seed"]
    command += [str(asked.seed), "--out", str(out), "--progress", "quiet", "--json"]
    command += ["-c", f"cross_execution={'on' if crossing else 'off'}", "-c", "policy.name=fixed"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"heats solve ended with {ran.returncode}: {ran.stderr}")
    return _told(out, crossing)


def _told(out: Path, crossing: bool) -> dict[str, Any]:
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    patches = [path.read_text() for path in sorted(out.glob("tasks/*/heat-0/rollout-*/patch.diff"))]
    chosen = (out / "patch.diff").read_text()
    found = {
        "fixes": len(patches),
        "whole": sum(map(_is_whole, patches)),
        "chosen": "whole" if _is_whole(chosen) else "half",
        "wall_s": round(_at(events, "run_finished") - _at(events, "run_started"), 1),
    }
    if not crossing:
        return found
    (table,) = out.glob("tasks/*/heat-0/cross.json")
    (cells,) = out.glob("tasks/*/cross.jsonl")
    rows = json.loads(table.read_text())["rows"]
    return found | {
        "test_runs": len(cells.read_text().splitlines()),
        "tests": len(rows),
        "counting": sum(row["counts"] for row in rows),
        "crossing_s": round(_at(events, "crossed") - _at(events, "evidence"), 1),
    }


def _is_whole(patch: str) -> bool:
    return any(f"+    {body}" in patch for body in WHOLE)


def _at(events: Sequence[dict[str, Any]], kind: str) -> float:
    """Time of the last event of a kind, in seconds."""
    return max(datetime.fromisoformat(event["time"]).timestamp() for event in events if event["kind"] == kind)


def main() -> None:
    """Run both variants and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--sandbox", default="bubblewrap")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_repository(folder / "repo")
        (folder / "script.json").write_text(json.dumps(script()))
        told = {kind: solve(folder, asked, kind == "on") for kind in ("off", "on")}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
