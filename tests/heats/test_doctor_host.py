"""`heats doctor` says what runs the sandboxes, and rejects an old host on request."""

import pytest
from typer.testing import CliRunner

from heats.cli import app

pytestmark = pytest.mark.bubblewrap

DOCTOR = ["doctor", "--sandbox", "bubblewrap"]


def host_line(*more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*DOCTOR, *more])
    return done.exit_code, next(line for line in done.output.splitlines() if " host " in line)


def test_the_parts_of_the_host_are_named():
    code, line = host_line("--strict-host")
    assert (code, "bubblewrap" in line, "Linux" in line) == (0, True, True)


def test_what_auto_comes_to_is_found_out_once(monkeypatch, caplog):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    done = CliRunner().invoke(app, ["doctor"])
    assert [line.split()[0] for line in done.output.splitlines() if line[8:15] == "sandbox"] == ["ok"]
    assert (done.output + caplog.text).count("no Docker daemon; using bubblewrap") == 1


def test_an_old_kernel_is_a_doubt_and_with_strict_host_a_failure(monkeypatch):
    monkeypatch.setattr("sandbox.versions.platform.release", lambda: "4.4.0-generic")
    code, line = host_line()
    assert (code, line.split()[0], "below 5.10" in line) == (0, "warn", True)
    code, line = host_line("--strict-host")
    assert (code, line.split()[0], "below 5.10" in line) == (6, "FAIL", True)
