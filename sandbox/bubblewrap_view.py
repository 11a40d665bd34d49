"""What a bubblewrap sandbox sees: its image, its writable files, its environment and its user.

There are three kinds of images. `host` and root directories are read-only, except for the home directory, `/venv` and
the working directory. An unpacked OCI image is writable everywhere, as in a container; what is written goes to a layer.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import SandboxSpec
from sandbox.errors import SandboxStartError
from sandbox.host_image import BIN, host_binds, interpreter
from sandbox.oci import UnpackedImage
from sandbox.overlay import LAYER, TREE, Overlay
from sandbox.prepared import VENV
from sandbox.process import MINIMAL_PATH
from sandbox.supervisor import supervisor_script

HOST_IMAGE = "host"
CHANNEL_DIR = "/run/heats"
PIPES = "/run/heats-pipes"
HOME = "/run/home"

_ROOT_USERS = ("root", "0", "0:0")
_PROC_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_PROC_MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats")
_NOT_SHOWN = frozenset({"proc", "dev", "tmp", "run", "sys", "lost+found"})
_WRITABLE = ("home", "venv", "work")
_RESOLVER = ("etc/resolv.conf", "etc/hosts", "etc/nsswitch.conf", "etc/services")
_MOUNTED = ("/proc", "/dev", "/run", "/tmp")  # noqa: S108 - inside the sandbox
_PASSWD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class View:
    """What one sandbox sees.

    Attributes:
        spec: its spec.
        scratch: its directory on the host.
        image: its unpacked image; None for `host` and root directories.
        kept: the prepared environment that it starts from, if any.
        overlay: how to mount overlays; None where the kernel mounts none, so that files are copied.
        packages: whether image `host` shows installed Python packages.
    """

    spec: SandboxSpec
    scratch: Path
    image: UnpackedImage | None = None
    kept: Path | None = None
    overlay: Overlay | None = None
    packages: bool = False

    @property
    def _layered(self) -> bool:
        return self.overlay is not None and (self.image is not None or self.kept is not None)

    def make(self) -> None:
        """Create the sandbox's files. Blocking.

        Raises:
            SandboxStartError: they cannot be copied, or the image cannot be used.
        """
        (self.scratch / "pipes").mkdir()
        script = supervisor_script(CHANNEL_DIR, crowd=self.spec.limits.pids // 2)
        (self.scratch / "pipes" / "supervisor").write_text(script, encoding="ascii")
        if self.image is None:
            self._make_names()
        lower = self._lower()
        if self.image is not None:
            _refuse_links(lower, [*_MOUNTED, *self.spec.read_only_mounts.values()])
        if self.overlay is not None and self._layered:
            self.overlay.prepare(self.scratch, lower)
        elif lower:
            copy_files(lower[0], self.scratch / TREE)
        else:
            self._make_writable()

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Wrap the command that starts bwrap, so that it finds the files in place."""
        if self.overlay is not None and self._layered:
            return self.overlay.wrap(self.scratch, argv)
        return list(argv)

    def _lower(self) -> list[Path]:
        """Directories that the files consist of, topmost first; only the first of them is needed for a copy."""
        folder = LAYER if self.image is not None and self.overlay is not None else TREE
        kept = [self.kept / folder] if self.kept is not None else []
        return [*kept, self.image.root] if self.image is not None else kept

    def _make_names(self) -> None:
        for name in ("etc", "empty", "bin"):
            (self.scratch / name).mkdir()
        for name in ("python", "python3"):
            (self.scratch / "bin" / name).symlink_to(interpreter())
        uid, gid = self.ids()
        name = "root" if uid == 0 else "agent"
        (self.scratch / "etc" / "passwd").write_text(
            f"{name}:x:{uid}:{gid}:{name}:{HOME}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
        )
        (self.scratch / "etc" / "group").write_text(f"{name}:x:{gid}:\nnogroup:x:65534:\n")

    def _make_writable(self) -> None:
        tree = self.scratch / TREE
        for name in ("home", "venv"):
            (tree / name).mkdir(parents=True)
        pristine = Path(self.spec.image) / self.spec.workdir.lstrip("/")
        if self.spec.image != HOST_IMAGE and pristine.is_dir():
            copy_files(pristine, tree / "work")
        else:
            (tree / "work").mkdir()

    def ids(self) -> tuple[int, int]:
        """User and group id of commands."""
        user = self.spec.user
        if self.image is None or user in _ROOT_USERS:
            return (0, 0) if user in _ROOT_USERS else (1234, 1234)
        name, _, group = (user or self.image.user or "0").partition(":")
        known = _entry(self.image.root / "etc" / "passwd", name)
        if known is None and not name.isdigit():
            raise SandboxStartError(f"the image {self.spec.image} has no user {name}")
        own = _entry(self.image.root / "etc" / "group", group) if group else None
        uid = int(known[2]) if known is not None else int(name)
        gid = own[2] if own is not None else group or (known[3] if known is not None else "0")
        if not str(gid).isdigit():
            raise SandboxStartError(f"the image {self.spec.image} has no group {group}")
        return uid, int(gid)

    def environment(self) -> dict[str, str]:
        """Variables of every command."""
        if self.image is None:
            return {"PATH": self._path(), "HOME": HOME, "LANG": "C.UTF-8", **self.spec.env}
        known = _entry(self.image.root / "etc" / "passwd", str(self.ids()[0]))
        env = {"PATH": MINIMAL_PATH, "HOME": known[5] if known is not None else "/", **self.image.env}
        if self.kept is not None:
            env["PATH"] = f"{VENV}/bin:{env['PATH']}"
        return env | dict(self.spec.env)

    def _path(self) -> str:
        if self.spec.image != HOST_IMAGE:
            return f"{VENV}/bin:{MINIMAL_PATH}"
        own = Path(sys.base_prefix, "bin")
        extra = f"{own}:" if self.packages and not own.is_relative_to("/usr") else ""
        return f"{VENV}/bin:{BIN}:{extra}{MINIMAL_PATH}"

    def binds(self, mounts: Mapping[str, str]) -> list[str]:
        """bwrap's arguments for files and devices.

        Args:
            mounts: read-only directories of the host -> path in the sandbox.
        """
        scratch, tree = self.scratch, self.scratch / TREE
        flags = [word for bind in self._image_binds() for word in bind]
        flags += ["--proc", "/proc", *_proc_covers(), "--dev", "/dev", "--tmpfs", "/run"]
        flags += ["--size", str(self.spec.limits.tmp_mb << 20), "--tmpfs", "/tmp"]  # noqa: S108 - inside the sandbox
        flags += ["--size", str(64 << 20), "--tmpfs", CHANNEL_DIR, "--ro-bind", str(scratch / "pipes"), PIPES]
        if self.image is None:
            flags += ["--bind", str(tree / "home"), HOME]
            flags += ["--ro-bind", str(scratch / "bin"), BIN] if self.spec.image == HOST_IMAGE else []
            flags += ["--bind", str(tree / "venv"), VENV, "--bind", str(tree / "work"), self.spec.workdir]
        if self.spec.network == "host":
            flags += [word for name in self._resolver() for word in ("--ro-bind-try", f"/{name}", f"/{name}")]
        for host, target in mounts.items():
            flags += ["--ro-bind", host, target]
        return [*flags, *(("--remount-ro", "/") if self.image is None else ()), "--chdir", "/"]

    def _resolver(self) -> list[str]:
        """Files of the host that name resolution needs, where the image has a place for them."""
        if self.image is not None:
            places = [(name, self.image.root / name) for name in _RESOLVER]
            return [name for name, place in places if place.is_file() and not place.is_symlink()]
        root = Path("/") if self.spec.image == HOST_IMAGE else Path(self.spec.image)
        return [name for name in _RESOLVER if (root / name).exists()]

    def _image_binds(self) -> Iterator[tuple[str, ...]]:
        scratch = self.scratch
        if self.image is not None:
            yield ("--bind", str(scratch / TREE), "/")
        elif self.spec.image == HOST_IMAGE:
            yield from host_binds(scratch / "empty", packages=self.packages)
            yield from (("--ro-bind", str(scratch / "etc" / name), f"/etc/{name}") for name in ("passwd", "group"))
        else:
            yield from _directory_binds(Path(self.spec.image))


def copy_files(source: Path, target: Path) -> None:
    """Copy a directory with all attributes; `target` must not exist. Blocking.

    Raises:
        SandboxStartError: it could not be copied.
    """
    copy = ["cp", "-a", "--reflink=auto", "--", str(source), str(target)]
    try:
        done = subprocess.run(copy, capture_output=True, timeout=1800, check=False)
    except subprocess.TimeoutExpired as error:
        raise SandboxStartError(f"copying {source} did not end") from error
    if done.returncode:
        raise SandboxStartError(f"files could not be copied: {done.stderr.decode('utf-8', 'replace').strip()[-300:]}")


def _proc_covers() -> Iterator[str]:
    """Hide the same parts of /proc as container engines do, since the sandbox's user may be root to these files."""
    for path in (f"/proc/{name}" for name in _PROC_READ_ONLY if Path("/proc", name).exists()):
        yield from ("--ro-bind", path, path)
    for masked in (Path("/proc", name) for name in _PROC_MASKED):
        if masked.is_dir():
            yield from ("--tmpfs", str(masked), "--remount-ro", str(masked))
        elif masked.exists():
            yield from ("--ro-bind", "/dev/null", str(masked))


def _directory_binds(root: Path) -> Iterator[tuple[str, ...]]:
    for path in sorted(root.iterdir()):
        if path.name in _NOT_SHOWN:
            continue
        if path.is_symlink():
            yield ("--symlink", str(path.readlink()), f"/{path.name}")
        elif path.is_dir():
            yield ("--ro-bind", str(path), f"/{path.name}")


def _refuse_links(lower: Sequence[Path], targets: Sequence[str]) -> None:
    """Refuse files in which a mount point is a symbolic link: bwrap would follow it while it still sees the host."""
    for target in targets:
        path = Path()
        for part in Path(target).parts[1:]:
            path /= part
            if any((root / path).is_symlink() for root in lower):
                raise SandboxStartError(
                    f"/{path} is a symbolic link in the image, so nothing can be mounted at {target}"
                )


def _entry(database: Path, key: str) -> list[str] | None:
    """The line of a user or group database with this name or number."""
    if database.is_symlink() or database.parent.is_symlink() or not database.is_file():
        return None
    with database.open("rb") as file:
        lines = file.read(_PASSWD_BYTES).decode("utf-8", "replace").splitlines()
    rows = [fields for line in lines if len(fields := line.split(":")) >= 4 and fields[2].isdigit()]
    return next((row for row in rows if key in (row[0], row[2]) and (len(row) >= 6 or database.name == "group")), None)
