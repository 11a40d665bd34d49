"""What new users run into: ambiguous input, a wrong address, Ctrl-C at any moment, internal errors."""

import io
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from doubles import one_line

from heats import signals
from heats.__main__ import main as start
from heats.cli.failures import explain
from heats.cli.issue import read_issue
from heats.errors import ExitCode
from heats.store.store import RunStore


@contextmanager
def serving(pages, otherwise=404):
    """A server of JSON pages by path; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(pages.get(self.path, {"error": {"message": "no"}})).encode()
            self.send_response(200 if self.path in pages else otherwise)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("length", [300, 5000])
def test_a_long_issue_on_one_line_is_its_text_and_no_name_of_a_file(length):
    """Texts of 256 to 999 characters were rejected as file names that are too long."""
    text = "word " * (length // 5)
    assert read_issue(text) == text


def test_an_issue_on_standard_input_may_have_any_encoding(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9 breaks")))
    assert read_issue("-") == "caf\N{REPLACEMENT CHARACTER} breaks"


def test_a_long_value_of_a_key_is_a_value_and_no_name_of_a_file(heats):
    code, out, err = heats(
        "solve", "--repo", ".", "--issue", "x", "--print-config", "-c", f"propose.message={'w ' * 300}"
    )
    assert (code, err) == (0, "")
    assert "w w w" in out


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), sqlite3.OperationalError("database or disk is full")]
)
def test_a_full_disk_is_told_whoever_notices_it_first(error):
    code, line = explain(ExceptionGroup("group", [error]))
    assert code == 3
    assert "run the same command to continue" in line


def test_redo_in_the_directory_one_stands_in_is_refused(solve, monkeypatch, tmp_path):
    """The old run was moved while the shell was in it, so that `.` referred to the old run."""
    assert solve()[0] == ExitCode.PASSES
    monkeypatch.chdir(tmp_path / "run")
    code, _, err = solve("--redo", out=".")
    assert code == 2
    assert "another directory" in one_line(err)
    assert (tmp_path / "run" / "run.json").exists()


def test_a_run_in_the_directory_one_stands_in_has_a_name(solve, monkeypatch, tmp_path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert solve(out=".")[0] == ExitCode.PASSES
    assert RunStore(tmp_path / "here").manifest.run_id == "here"


def test_a_second_ctrl_c_gives_the_cursor_back_and_says_what_to_do(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(os, "_exit", lambda code: None)
        signals._leave(signal.SIGINT)
        said = os.read(ours, 200)
        assert said.startswith(b"\x1b[?25h")
        assert b"heats gc" in said
    os.close(ours)


def test_a_server_that_answers_below_v1_only_is_told_before_anything_is_spent(solve):
    with serving({"/v1/models": {"data": [{"id": "qwen"}]}}) as root:
        code, _, err = solve(model="qwen", base_url=root)
    assert code == 2
    assert f"--base-url {root}/v1" in one_line(err)


def test_a_rejected_key_is_told_with_the_place_it_was_read_from(solve):
    with serving({}, otherwise=401) as root:
        code, _, err = solve(model="qwen", base_url=f"{root}/v1")
    assert code == 2
    assert "OPENAI_API_KEY" in one_line(err)


@pytest.mark.parametrize("command", ["solve", "report"])
def test_ctrl_c_outside_of_the_work_is_one_line(heats, monkeypatch, command):
    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("heats.cli.solve.read_issue", pressed)
    monkeypatch.setattr("heats.cli.runs.RunStore", pressed)
    arguments = {"solve": ["--repo", ".", "--issue", "x", "--model", "builtin:repair"], "report": ["run"]}
    code, _, err = heats(command, *arguments[command])
    assert code == 130
    assert "SIGINT" in one_line(err)


def test_ctrl_c_while_the_program_is_being_imported_is_one_line(monkeypatch, capsys):
    def pressed():
        raise KeyboardInterrupt

    monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
    monkeypatch.setitem(sys.modules, "heats.cli", SimpleNamespace(main=pressed))
    with pytest.raises(SystemExit) as end:
        start()
    assert end.value.code == 130
    assert "SIGINT" in one_line(capsys.readouterr().err)


def test_starting_needs_neither_the_http_client_nor_git(tmp_path):
    """Importing one takes a third of a second; without the other there was a traceback."""
    program = "import sys; sys.argv = ['heats', '--version']\n"
    program += "try: from heats.__main__ import main; main()\n"
    program += "finally: import gc; print(gc.isenabled(), 'aiohttp' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert told.stderr == ""
    assert told.stdout.split()[-2:] == ["True", "False"]


def test_without_git_one_line_says_so(solve, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    code, _, err = solve()
    assert code == 6
    assert "git is not installed" in one_line(err)


def test_an_error_that_nobody_foresaw_leaves_a_traceback_of_its_own_or_none(heats, monkeypatch, tmp_path):
    """A fixed name in /tmp could be another user's file, a link, or not writable."""

    def broken(*_, **__):
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("heats.cli.runs.RunStore", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = heats("report", "run")
    assert code == 1
    (trace,) = tmp_path.glob("heats-crash-*.txt")
    assert str(trace) in one_line(err)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert "nobody foresaw this" in one_line(heats("report", "run")[2])
