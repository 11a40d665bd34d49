"""OCI images of a few files, written by hand."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MEDIA = "application/vnd.oci.image."
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def layer(files: Mapping[str, bytes | str], *, links: Mapping[str, str] | None = None) -> bytes:
    """A layer with files (executable; a name that ends in `/` is a folder) and symbolic links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode = 0o755
            content = data.encode() if isinstance(data, str) else data
            entry.type, entry.size = (tarfile.DIRTYPE, 0) if name.endswith("/") else (tarfile.REGTYPE, len(content))
            tar.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()


def write_image(folder: Path, layers: Sequence[bytes], **config: Any) -> str:
    """Write an OCI layout; returns the reference of its image.

    Args:
        folder: the layout's new folder.
        layers: tar archives, lowest first.
        config: `Env`, `WorkingDir`, `User`.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"{_MEDIA}{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    diffs = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]
    machine = _MACHINES.get(platform.machine(), platform.machine())
    about = {"architecture": machine, "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": diffs}}
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(about).encode(), "config.v1+json"),
        "layers": [put(one, "layer.v1.tar") for one in layers],
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    named = {**entry, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{folder}:latest"
