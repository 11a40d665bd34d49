"""A stand-in for GitHub on the loopback interface: the API for pull requests, and git's own HTTP back end."""

import base64
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Forge:
    """Requests so far. `answer` replaces the API's next answers, each given by status, body and headers."""

    root: Path
    token: str
    url: str = ""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    answer: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)

    @property
    def repository(self) -> Path:
        """The bare repository of `acme/shop.git`."""
        return self.root / "acme" / "shop.git"


class Handler(BaseHTTPRequestHandler):
    forge: Forge

    def log_message(self, *_: object) -> None:
        """Do not log."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _serve(self, body: bytes) -> None:
        self.forge.asked.append((self.command, self.path, dict(self.headers)))
        if self.path.startswith("/acme/"):
            self._git(body)
        elif self.forge.answer:
            self._reply(*self.forge.answer.pop(0))
        elif self.headers.get("Authorization") != f"Bearer {self.forge.token}":
            self._reply(401, {"message": "Bad credentials"}, {})
        else:
            self._api(json.loads(body or b"null"))

    def _api(self, body: Any) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path == "/api/v3/repos/acme/shop":
            self._reply(200, {"default_branch": "main"}, {})
        elif self.command == "GET":
            self._reply(200, [one for one in self.forge.pulls if one["head"] == query["head"][0]], {})
        else:
            number = len(self.forge.pulls) + 1
            self.forge.pulls.append(
                {**body, "number": number, "html_url": f"https://forge.test/acme/shop/pull/{number}"}
            )
            self._reply(201, self.forge.pulls[-1], {})

    def _reply(self, status: int, body: Any, headers: dict[str, str]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _git(self, body: bytes) -> None:
        secret = base64.b64encode(f"x-access-token:{self.forge.token}".encode()).decode()
        if self.headers.get_all("Authorization") != [f"Basic {secret}"]:
            self._reply(401, {}, {"WWW-Authenticate": 'Basic realm="forge"'})
            return
        parts = urlsplit(self.path)
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.forge.root), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path, "QUERY_STRING": parts.query, "REQUEST_METHOD": self.command, "REMOTE_USER": "x",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._reply(int(headers.pop("Status", "200").split()[0]), content, headers)


@contextmanager
def serve_forge(root: Path, token: str, certificate: Path | None = None) -> Iterator[Forge]:
    """Serve until the block ends, over TLS with a certificate and key in one file."""
    forge = Forge(root, token)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"forge": forge}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    forge.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
