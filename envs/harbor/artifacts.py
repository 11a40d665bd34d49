"""Artifacts of a Harbor task: what a separate verifier gets to see of the machine that the agent worked on.

Each artifact is packed where the agent worked, checked, and unpacked at the same path in the verifier's container.
The host only reads the archive: nothing of it is unpacked there.
"""

import io
import posixpath
import shlex
import tarfile
from dataclasses import dataclass

from envs.bounded import bounded
from envs.errors import TaskError
from envs.harbor.taskfile import Artifact
from sandbox.base import Sandbox

_ARCHIVE = "/heats-artifact.tar"
_MAX_ARCHIVE = 512 << 20
_PACK_S = 600.0
_NOTHING = 85
_SOME_CHANGED = 1
"""The exit code of tar when a file changed while it was read."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """An artifact on its way.

    Attributes:
        path: where it belongs.
        is_folder: the archive holds the content of a directory, else a single file.
        archive: a tar archive, checked.
        refused: what was left out of it, one line each.
    """

    path: str
    is_folder: bool
    archive: bytes
    refused: tuple[str, ...] = ()


async def pack(root: Sandbox, artifact: Artifact) -> Parcel | None:
    """Pack an artifact; None if it does not exist.

    Args:
        root: the agent's sandbox, as root.
        artifact: the artifact.

    Raises:
        TaskError: it cannot be packed, or is too large.
        SandboxError
    """
    path = posixpath.normpath(artifact.source)
    patterns = " ".join(f"--exclude={shlex.quote(pattern)}" for pattern in artifact.exclude)
    script = f"""
rm -f {_ARCHIVE}
if [ -d {shlex.quote(path)} ]; then
  tar -cf {_ARCHIVE} {patterns} -C {shlex.quote(path)} . || exit
  exit 0
elif [ -e {shlex.quote(path)} ] || [ -L {shlex.quote(path)} ]; then
  tar -cf {_ARCHIVE} -C {shlex.quote(posixpath.dirname(path))} -- {shlex.quote(posixpath.basename(path))} && exit 86
  exit 2
fi
exit {_NOTHING}
"""
    made = await root.exec(script, timeout=_PACK_S, cwd="/", merge_stderr=True)
    if made.exit_code == _NOTHING:
        return None
    if made.exit_code not in (0, 86, _SOME_CHANGED):
        raise TaskError(f"artifact {path}: {made.text().strip()[-200:] or made.status}")
    data = await root.read_file(_ARCHIVE, max_bytes=_MAX_ARCHIVE)
    await root.exec(f"rm -f {_ARCHIVE}", timeout=60, cwd="/")
    try:
        archive, refused = await bounded(checked, data)
    except ValueError as error:
        raise TaskError(f"artifact {path}: {error}") from None
    return Parcel(path, made.exit_code != 86, archive, refused)


async def unpack(root: Sandbox, parcel: Parcel) -> None:
    """Put an artifact in its place; a directory loses what it held before.

    Args:
        root: the verifier's sandbox, as root.
        parcel: the artifact.

    Raises:
        TaskError: it cannot be unpacked.
        SandboxError
    """
    await root.write_file(_ARCHIVE, parcel.archive)
    place = shlex.quote(parcel.path if parcel.is_folder else posixpath.dirname(parcel.path))
    empty = f"find {place} -mindepth 1 -delete && " if parcel.is_folder else ""
    script = (
        f"mkdir -p {place} && {empty}chmod 777 {place} && tar -C {place} --no-same-owner -xpf {_ARCHIVE}; "
        f"code=$?; rm -f {_ARCHIVE}; exit $code"
    )
    done = await root.exec(script, timeout=_PACK_S, cwd="/", merge_stderr=True)
    if not done.ok:
        raise TaskError(f"artifact {parcel.path}: {done.text().strip()[-200:] or done.status}")


def checked(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Rewrite an archive from the agent's container so that it unpacks harmlessly; also what was left out.

    Kept are directories, regular files, and links that stay inside; nobody's set-user-ID bits or ownership.

    Raises:
        ValueError: it is not a tar archive.
    """
    out, kept, refused = io.BytesIO(), dict[str, bytes](), list[str]()
    try:
        with (
            tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8") as archive,
            tarfile.open(fileobj=out, mode="w:", format=tarfile.GNU_FORMAT, encoding="utf-8") as made,
        ):
            for member in archive:
                name = posixpath.normpath(member.name)
                if name == ".":
                    continue
                if why := _unsafe(name, member, kept):
                    refused.append(f"{name}: {why}")
                    continue
                kept[name] = member.type
                clean = _clean(name, member)
                made.addfile(clean, archive.extractfile(member) if member.isreg() else None)
    except tarfile.TarError as error:
        raise ValueError(f"not a tar archive: {error}") from None
    return out.getvalue(), tuple(refused)


def _unsafe(name: str, member: tarfile.TarInfo, kept: dict[str, bytes]) -> str:
    """Why a member must not be unpacked; empty if it may."""
    if name.startswith(("/", "..")):
        return "it leads out"
    above = posixpath.dirname(name)
    while above:
        if kept.get(above, tarfile.DIRTYPE) != tarfile.DIRTYPE:
            return "it lies behind a link or a file"
        above = posixpath.dirname(above)
    if member.issym():
        words = member.linkname.split("/")
        ups = next((place for place, word in enumerate(words) if word not in ("..", ".")), len(words))
        if member.linkname.startswith("/") or ".." in words[ups:] or words[:ups].count("..") > name.count("/"):
            return "its target may lead out"
        return ""
    if member.islnk():
        target = posixpath.normpath(member.linkname)
        return "" if kept.get(target) in (tarfile.REGTYPE, tarfile.AREGTYPE) else "it links to something left out"
    if not (member.isdir() or member.isreg()) or member.issparse():
        return "it is not a plain file, directory or link"
    return ""


def _clean(name: str, member: tarfile.TarInfo) -> tarfile.TarInfo:
    clean = tarfile.TarInfo(name)
    clean.type, clean.mtime = (tarfile.REGTYPE if member.isreg() else member.type), member.mtime
    if member.isreg():
        clean.size = member.size
        clean.mode = (member.mode & 0o755) | 0o600
    elif member.isdir():
        clean.mode = 0o755
    else:
        clean.mode = 0o777
        clean.linkname = posixpath.normpath(member.linkname) if member.islnk() else member.linkname
    return clean
