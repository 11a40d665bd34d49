"""Cross-execution in a whole `heats solve`, with a model that writes tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.bubblewrap
@pytest.mark.slow
def test_tests_that_rollouts_wrote_find_the_whole_fix_where_the_users_tests_cannot():
    command = [sys.executable, "-m", "benchmarks.cross_execution", "--rollouts", "4", "--seed", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["off"]["fixes"], told["off"]["whole"]) == (4, 2)  # the choice is open, and a random judge's
    assert (told["on"]["chosen"], told["on"]["whole"]) == ("whole", 2)
    assert told["on"]["test_runs"] == 4 * 5
    assert told["on"]["counting"] == 2
