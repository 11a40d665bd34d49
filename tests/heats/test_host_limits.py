"""Limits of this process that would kill a run are found before anything is spent."""

import resource
import subprocess
import sys

import pytest

from heats.errors import PreflightFailed
from heats.runner.host_limits import FILES, FILES_A_WORKER, check_host_limits

CHECK = "from heats.runner.host_limits import check_host_limits; check_host_limits({workers}); import resource; {more}"


def limited(shell: str, workers: int = 4, more: str = "") -> subprocess.CompletedProcess[str]:
    """Check in a process started with a shell's limits."""
    command = f"{shell}; exec {sys.executable} -c {CHECK.format(workers=workers, more=more)!r}"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


def test_a_low_soft_limit_of_open_files_is_raised_as_far_as_is_needed():
    show = "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    done = limited("ulimit -Sn 64; ulimit -Hn 1024", 4, show)
    soft, hard = map(int, done.stdout.split())
    assert (64 < soft < 1024, hard) == (True, 1024), done.stderr


def test_a_low_hard_limit_of_open_files_is_refused_with_the_way_out():
    done = limited("ulimit -Sn 100; ulimit -Hn 100", 20)
    assert "may open only 100 files" in done.stderr
    assert f"{FILES + 20 * FILES_A_WORKER} needed for 20 workers" in done.stderr


def test_too_little_address_space_is_refused():
    assert "may map only 1000 MiB" in limited(f"ulimit -v {1000 << 10}").stderr


@pytest.mark.parametrize(("name", "text", "fits"), [("memory.max", "max\n", True), ("memory.max", str(9 << 30), True)])
def test_enough_memory_is_enough(tmp_path, name, text, fits):
    (tmp_path / name).write_text(text)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    check_host_limits(1, tmp_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_small_control_group_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(f"{200 << 20}\n")
    with pytest.raises(PreflightFailed, match="200 MiB of memory, 448 needed for 4 workers"):
        check_host_limits(4, tmp_path)
