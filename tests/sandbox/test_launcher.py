"""The small program that stands in for setsid(1)."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from sandbox.launcher import LAUNCHER, launcher, place_launcher

WHO = "import os, sys; print(os.getsid(0) == os.getpid(), sys.argv[1:], os.environ['HEATS_TEST'])"
AARCH64 = shutil.which("qemu-aarch64-static")


@pytest.fixture
def program(tmp_path: Path) -> str:
    place_launcher(tmp_path)
    if not (tmp_path / LAUNCHER).exists():
        pytest.skip(f"there is none for {platform.machine()}")
    return str(tmp_path / LAUNCHER)


def ended(*argv: str) -> int:
    return subprocess.run(argv, timeout=20, check=False).returncode


def test_it_becomes_the_program_in_a_new_session_with_all_words_and_the_environment(program: str) -> None:
    argv = [program, shutil.which("python3") or "", "-c", WHO, "one", "", "a b\nc"]
    said = subprocess.run(argv, env={"HEATS_TEST": "x y"}, capture_output=True, timeout=20, check=True).stdout
    assert said.decode() == "True ['one', '', 'a b\\nc'] x y\n"


def test_alone_it_ends_well_which_shows_that_it_runs_here(program: str) -> None:
    assert ended(program) == 0


@pytest.mark.parametrize("missing", ["/nowhere/at/all", "/etc/passwd", ""])
def test_a_program_that_cannot_run_ends_it_with_126(program: str, missing: str) -> None:
    assert ended(program, missing, "word") == 126


def test_where_no_session_can_be_made_the_program_does_not_run(program: str, tmp_path: Path) -> None:
    def lead() -> None:
        os.setpgid(0, 0)

    mark = str(tmp_path / "ran")
    done = subprocess.run([program, "/bin/sh", "-c", f": >{mark}"], preexec_fn=lead, timeout=20, check=False)
    assert (done.returncode, os.path.exists(mark)) == (126, False)


def test_machines_that_are_not_known_have_none() -> None:
    assert launcher("riscv64") is None


@pytest.mark.skipif(AARCH64 is None, reason="qemu-aarch64-static is not installed (package qemu-user-static)")
def test_the_one_for_arm_does_the_same(tmp_path: Path) -> None:
    path = tmp_path / "arm"
    path.write_bytes(launcher("aarch64") or b"")
    path.chmod(0o755)
    assert ended(AARCH64 or "", str(path)) == 0
    assert ended(AARCH64 or "", str(path), "/nowhere/at/all") == 126
    argv = [
        AARCH64 or "",
        str(path),
        "/bin/sh",
        "-c",
        'read -r s </proc/self/stat; echo "$0 $1 $HEATS_TEST"',
        "x",
        "y z",
    ]
    said = subprocess.run(argv, env={"HEATS_TEST": "env"}, capture_output=True, timeout=20, check=True).stdout
    assert said == b"x y z env\n"
