"""Directories whose owner was killed while creating or removing them are found by their names."""

import subprocess
import sys

from sandbox.scratch import make_scratch, scratch_leftovers

HALF = """
import sys
from pathlib import Path
from sandbox.scratch import make_scratch
made = make_scratch(Path(sys.argv[1]), "local", {})
(made / "owner.json").unlink()
"""


def test_a_directory_without_its_record_is_left_over_once_its_owner_is_dead(tmp_path):
    mine = make_scratch(tmp_path, "local", {})
    (mine / "owner.json").unlink()
    subprocess.run([sys.executable, "-c", HALF, tmp_path], check=True)
    (tmp_path / "local-of-somebody").mkdir()
    (left,) = scratch_leftovers(tmp_path, "local")
    assert left.path not in (mine, tmp_path / "local-of-somebody")
