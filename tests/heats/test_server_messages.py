"""Messages of servers and daemons are shown without anything that acts on a terminal."""

import json
import logging
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from heats.cli import CleanFormatter, doctor
from heats.cli.failures import explain
from sandbox import SandboxError

HOSTILE = "no such model \x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\r\x08 end"
FORBIDDEN = set("\x1b\x07\x08\x9b\u202e\r")


@contextmanager
def refusing():
    """A model server that refuses everything in hostile words."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.dumps({"error": {"message": HOSTILE, "type": HOSTILE}}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_a_run_that_a_server_refuses_ends_in_clean_words(solve):
    with refusing() as url:
        for progress in ("plain", "quiet"):
            code, out, err = solve(model="qwen", base_url=url, progress=progress)
            assert code != 0
            assert "no such model" in err + out
            assert not FORBIDDEN & set(out + err)


async def test_doctor_prints_clean_words(capsys):
    async def refused():
        raise SandboxError(HOSTILE)

    await doctor._examine([("sandbox", refused)])
    shown = capsys.readouterr().out
    assert "no such model" in shown
    assert not FORBIDDEN & set(shown)


def test_a_failure_is_one_clean_line(heats, monkeypatch):
    def fail(*_, **__):
        raise SandboxError(HOSTILE)

    monkeypatch.setattr("heats.cli.solve.read_issue", fail)
    code, _, err = heats("solve", "--repo", ".", "--issue", "x", "--model", "builtin:repair")
    assert (code, err.count("\n")) == (3, 1)
    assert not FORBIDDEN & set(err)
    assert explain(SandboxError("x"))[0] == 3


def test_warnings_are_clean():
    record = logging.LogRecord("x", logging.WARNING, "", 0, "not removed: %s", (HOSTILE,), None)
    assert not FORBIDDEN & set(CleanFormatter("%(message)s").format(record))
