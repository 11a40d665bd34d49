"""inspect_ai's sandbox conformance suite (44 checks) on our sandboxes, and exactly what fails."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.tool("inspect"), pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).with_name("inspect_conformance.py")
FLAGS = ["-m", "pytest", "--noconftest", "-c", "/dev/null", "-p", "no:cacheprovider", "-q"]
MODE = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session"]

# Creating a user requires capabilities, and switching to one requires set-uid: no sandbox of ours has either. Docker's
# root may not write /etc/gshadow of group shadow, bubblewrap's /etc is read-only, and users other than the specified
# one are refused.
MISSED = {"test_exec_as_user"}

KINDS = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("docker-uid", marks=pytest.mark.docker),
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
]


@pytest.fixture(scope="module")
def suites(
    request: pytest.FixtureRequest, tool_env: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[subprocess.Popen[str], Path]]]:
    """The suite on every kind, concurrently, since it spends half of its time waiting."""
    program, folder = tool_env("inspect") / "bin" / "python", tmp_path_factory.mktemp("conformance")
    started = {}
    for item in request.session.items:
        if item.path == Path(__file__) and not item.get_closest_marker("skip"):
            kind = item.callspec.params["where"]
            report = folder / f"{kind}.xml"
            command = [program, *FLAGS, *MODE, f"--rootdir={folder}", f"--junitxml={report}", SUITE]
            environment = {**os.environ, "HEATS_KIND": kind, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
            pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            started[kind] = (subprocess.Popen(command, env=environment, cwd=folder, **pipe), report)
    yield started
    for process, _ in started.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("where", KINDS)
def test_all_but_one_of_the_checks_pass(suites: dict[str, tuple[subprocess.Popen[str], Path]], where: str) -> None:
    process, report = suites[where]
    said, _ = process.communicate(timeout=380)
    print(said, file=sys.stderr)
    cases = ElementTree.parse(report).getroot().iter("testcase")
    bad = {case.get("name"): {part.tag for part in case} & {"failure", "error", "skipped"} for case in cases}
    assert len(bad) == 44
    assert {name for name, why in bad.items() if why} == MISSED
