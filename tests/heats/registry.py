"""Debian's docker-registry with images that tests publish, and a proxy before it that fails as registries do."""

import http.client
import re
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", relativeurls: true}}
"""
CODES = {401: "UNAUTHORIZED", 429: "TOOMANYREQUESTS", 503: "UNAVAILABLE"}


class Faults:
    """What the next requests that match get: a status, an answer that takes long, or one that is cut off.

    A fault is `(pattern, times, status, seconds)`; the pattern is searched in the path, and status 0 cuts the answer.
    """

    def __init__(self):
        self.planned, self.given, self.lock = [], [], threading.Lock()

    def plan(self, pattern, times, status, seconds=0.0):
        self.planned.append([pattern, times, status, seconds])

    def take(self, path):
        with self.lock:
            for fault in self.planned:
                if fault[1] > 0 and re.search(fault[0], path):
                    fault[1] -= 1
                    self.given.append((path, fault[2]))
                    return fault[2], fault[3]
        return None


def _handler(upstream, faults):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            fault = faults.take(self.path) if self.path != "/v2/" else None
            if fault is not None:
                time.sleep(fault[1])
            if fault is None or fault[0] == 200:
                self.forward()
            elif fault[0] == 0:
                self.close_connection = True
            else:
                self.refuse(fault[0])

        def forward(self):
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length) if length else None
            connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=120)
            named = {key: value for key, value in self.headers.items() if key.lower() not in ("connection",)}
            connection.request(self.command, self.path, body=data, headers=named)
            answer = connection.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(key, value)
            self.send_header("Content-Length", answer.headers.get("Content-Length") or str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            connection.close()

        do_HEAD = do_GET

        def refuse(self, status):
            body = f'{{"errors":[{{"code":"{CODES[status]}","message":"refused by the test"}}]}}'.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def _free_port():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


class Registry:
    """A running registry: `place` is where tests publish, `faulty` the same behind the proxy with `faults`."""

    def __init__(self, port, proxy, faults):
        self.place, self.faulty, self.faults = f"localhost:{port}", f"localhost:{proxy}", faults

    def publish(self, image, name):
        """Publish a local image under a name such as `swebench/sweb.eval.x86_64.a_1776_b-1:latest`."""
        wanted = f"{self.place}/{name}"
        subprocess.run(["docker", "tag", image, wanted], check=True)
        try:
            subprocess.run(["docker", "push", "--quiet", wanted], check=True, capture_output=True)
        finally:
            subprocess.run(["docker", "rmi", wanted], check=True, capture_output=True)

    def pulled(self):
        """Names of this registry's images that the daemon has."""
        command = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return {name for name in listed if name.startswith((f"{self.place}/", f"{self.faulty}/"))}


@contextmanager
def running_registry(folder):
    """Run the registry and the proxy; removes what was pulled from them in the end."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (Debian: docker-registry)")
    port, faults = _free_port(), Faults()
    (folder / "registry.yml").write_text(CONFIG.format(folder=folder, port=port))
    process = subprocess.Popen(
        [program, "serve", str(folder / "registry.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(port, faults))
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    found = Registry(port, proxy.server_port, faults)
    try:
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield found
    finally:
        for name in found.pulled():
            subprocess.run(["docker", "rmi", name], capture_output=True, check=False)
        proxy.shutdown()
        proxy.server_close()
        process.terminate()
        process.wait(30)
