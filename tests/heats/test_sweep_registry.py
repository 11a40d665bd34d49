"""`--pull` and `--prune-images` with a real Docker daemon and a small registry on this machine."""

import gzip
import hashlib
import io
import json
import secrets
import subprocess
import tarfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from envs.base import Task
from heats.errors import PreflightFailed
from heats.sweep.images import ImageKeeper
from sandbox import SandboxConfig, open_backend
from sandbox.images import Images

pytestmark = [pytest.mark.docker, pytest.mark.slow]

V2 = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def make_image():
    """An image of one small file: blobs by digest, and the manifest."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        about = tarfile.TarInfo("note.txt")
        about.size = 16
        tar.addfile(about, io.BytesIO(secrets.token_hex(8).encode()))
    packed = gzip.compress(layer.getvalue(), mtime=0)
    roots = {"type": "layers", "diff_ids": [digest(layer.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": roots}).encode()
    kinds = ("container.image.v1+json", "image.rootfs.diff.tar.gzip")
    described = [
        {"mediaType": f"application/vnd.docker.{kind}", "size": len(data), "digest": digest(data)}
        for kind, data in zip(kinds, (config, packed), strict=True)
    ]
    manifest = {"schemaVersion": 2, "mediaType": V2, "config": described[0], "layers": described[1:]}
    return {digest(config): config, digest(packed): packed}, json.dumps(manifest).encode()


@contextmanager
def registry(refuse=0):
    """A registry that serves one image under every name without `absent`; it refuses the first requests."""
    blobs, manifest = make_image()
    left = [refuse]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/v2/":
                return self.answer(200, b"{}", "application/json")
            if left[0]:
                left[0] -= 1
                return self.answer(503, b"{}", "application/json")
            if "/blobs/" in self.path:
                return self.answer(200, blobs[self.path.rpartition("/")[2]], "application/octet-stream")
            if "absent" in self.path:
                errors = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
                return self.answer(404, json.dumps(errors).encode(), "application/json")
            return self.answer(200, manifest, V2)

        do_HEAD = do_GET

        def answer(self, code, data, kind):
            self.send_response(code)
            headers = {"Content-Type": kind, "Content-Length": len(data), "Docker-Content-Digest": digest(data)}
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
async def backend():
    backend = await open_backend(SandboxConfig(backend="docker"))
    yield backend
    await backend.close()


def tasks(*images):
    return [Task(id=str(number), statement="s", image=image) for number, image in enumerate(images)]


async def test_what_is_missing_is_pulled_and_only_that_is_removed_after_its_last_task(backend, tmp_path):
    held, said = f"heats-test-mine:{secrets.token_hex(4)}", []
    subprocess.run(["docker", "tag", "heats-base:latest", held], check=True)
    with registry(refuse=1) as place:
        fetched = f"{place}/heats-test/one:latest"
        three = tasks(held, fetched, fetched)
        keeper = ImageKeeper(pull=True, prune=True, say=said.append, wait_s=0.1)
        await keeper.fetch(None, keeper.needed(tmp_path, three, {"0", "1", "2"}), backend)
    images = Images.of(backend)
    try:
        assert await images.has(fetched)
        await keeper.done(three[0], backend)
        await keeper.done(three[1], backend)
        assert await images.has(fetched)
        # Another process of the run does the last task.
        again = ImageKeeper(pull=True, prune=True, say=said.append)
        assert again.needed(tmp_path, three, {"2"}) == {held, fetched}
        for task in three:
            await again.done(task, backend)
        assert not await images.has(fetched)
        assert await images.has(held)
        assert said == [f"pulling {fetched}", f"removed image {fetched}"]
    finally:
        subprocess.run(["docker", "rmi", held, fetched], capture_output=True, check=False)


async def test_an_image_that_the_registry_does_not_have_is_named_at_once(backend, tmp_path):
    with registry() as place:
        wanted = tasks(f"{place}/heats-test/absent:latest")
        keeper = ImageKeeper(pull=True, say=print, wait_s=60)
        with pytest.raises(PreflightFailed, match=r"could not pull .*/heats-test/absent:latest"):
            await keeper.fetch(None, keeper.needed(tmp_path, wanted, {"0"}), backend)
