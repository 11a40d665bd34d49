"""Bubblewrap as a sandbox where there is no Docker: name spaces without a daemon.

Weaker than a container: memory is limited per process and not for the whole sandbox, and there is no system call
filter. Processes are limited by the kernel's limit per user, or, for root, by a control group where one can be made.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from sandbox.attest import attest, checked_mounts
from sandbox.base import SandboxSpec
from sandbox.cgroup import ProcessGroup
from sandbox.channel import ChannelBroken
from sandbox.config import SandboxConfig
from sandbox.diskwatch import DiskWatch, refuse_below_floor
from sandbox.errors import BackendUnavailable, ImageMissing, SandboxStartError
from sandbox.launcher import LAUNCHER, place_launcher
from sandbox.process import MINIMAL_PATH, Launch, ProcessMachine
from sandbox.scratch import disk_usage, make_scratch, remove_scratch, scratch_leftovers
from sandbox.session import ChannelSandbox
from sandbox.supervisor import supervisor_script
from sandbox.wire import WireClosed

HOST_IMAGE = "host"
CHANNEL_DIR = "/run/heats"
PIPES = "/run/heats-pipes"
HOME = "/run/home"
_TRY_S = 20.0
_OUTSIDE = 1
"""Processes of a sandbox that are not in its name space: bwrap itself."""
_PROC_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_PROC_MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats")
_SKIPPED = frozenset({"proc", "dev", "tmp", "run", "sys", "lost+found"})

# PID 1 cannot be killed from inside, and its wait takes care of orphans. It starts the supervisor again should a
# command kill that; at the end of its input the supervisor ends with 0 and everything with it.
_KEEPER = """ulimit -p "$2" 2>/dev/null || ulimit -u "$2" 2>/dev/null
n=0
while [ "$n" -lt 100 ]; do
  setsid sh -c "$1" && exit 0
  n=$((n + 1))
done
"""


class BubblewrapBackend:
    """See `sandbox.base.SandboxBackend`."""

    name = "bubblewrap"
    default_image = HOST_IMAGE

    def __init__(self, config: SandboxConfig, program: str, features: frozenset[str]) -> None:
        self._config = config
        self._program = program
        self._features = features
        self._disk = DiskWatch(self._written, config.disk_check_s)

    @classmethod
    async def open(cls, config: SandboxConfig) -> "BubblewrapBackend":
        """Check that bwrap works here.

        Raises:
            BackendUnavailable: it is not installed, or name spaces are not allowed.
        """
        program = shutil.which("bwrap")
        if program is None:
            raise BackendUnavailable("bwrap is not installed (Debian, Fedora, Arch: the package `bubblewrap`)")
        flags = ["--unshare-all", "--unshare-user", "--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/"]
        said = await _try([program, *flags, "--", "/bin/sh", "-c", "exit 0"])
        if said:
            raise BackendUnavailable(f"bwrap cannot make a sandbox here: {said}")
        nested = not await _try([program, *flags, "--disable-userns", "--", "/bin/sh", "-c", "exit 0"])
        return cls(config, program, frozenset({"--disable-userns"} if nested else ()))

    async def preflight(self, images: Collection[str]) -> None:
        """See `SandboxBackend.preflight`."""
        images = {image or self._config.image or self.default_image for image in images}
        missing = tuple(sorted(image for image in images if image != HOST_IMAGE and not (Path(image) / "usr").is_dir()))
        if missing:
            raise ImageMissing(missing, f"for bubblewrap an image is a root directory, or `{HOST_IMAGE}`")

    async def start(self, spec: SandboxSpec) -> ChannelSandbox:
        """See `SandboxBackend.start`."""
        spec = replace(spec, image=spec.image or self._config.image or self.default_image)
        await self.preflight([spec.image])
        if spec.network != "none":
            raise SandboxStartError("bubblewrap can only share the host's network, which is refused; use docker")
        mounts = checked_mounts(spec.read_only_mounts)
        refuse_below_floor(self._config.scratch().parent, self._config.free_floor_mb)
        scratch = make_scratch(self._config.scratch(), self.name, spec.labels)
        argv = [*_limits(spec), self._program, *self._flags(scratch, spec, mounts), "--", *_keeper(spec)]
        if os.getuid() == 0 and (group := ProcessGroup.make(scratch.name, spec.limits.pids + _OUTSIDE)) is not None:
            argv = group.wrap(argv)
        machine = ProcessMachine(
            scratch.name, Launch(argv, {"PATH": MINIMAL_PATH}, scratch, PIPES, spec.limits.max_life_s)
        )
        try:
            await asyncio.to_thread(_furnish, scratch, spec)
            channel = await machine.connect()
            await attest(channel, spec, secrets.token_hex(16), seccomp=False)
        except (ChannelBroken, WireClosed) as error:
            await machine.destroy()
            raise SandboxStartError(f"bwrap did not start a sandbox: {error}") from error
        except BaseException:
            await asyncio.shield(machine.destroy())
            raise
        sandbox = ChannelSandbox(machine, spec, channel, persistent=self._config.persistent)
        self._disk.add(sandbox)
        return sandbox

    async def reap(self) -> int:
        """See `SandboxBackend.reap`: the processes die with their owner; this removes their files."""
        found = list(scratch_leftovers(self._config.scratch(), self.name))
        for left in found:
            await asyncio.to_thread(remove_scratch, left.path)
        return len(found)

    async def close(self) -> None:
        """See `SandboxBackend.close`."""
        await self._disk.close()

    async def _written(self, names: Collection[str]) -> dict[str, int]:
        return await asyncio.to_thread(disk_usage, self._config.scratch(), names)

    def _flags(self, scratch: Path, spec: SandboxSpec, mounts: Mapping[str, str]) -> list[str]:
        uid = "0" if spec.user in ("root", "0", "0:0") else "1234"
        flags = [
            *("--unshare-all", "--unshare-user", "--uid", uid, "--gid", uid, "--hostname", "sandbox"),
            *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
            *sorted(self._features),
        ]
        env = {"PATH": _path(spec.image), "HOME": HOME, "LANG": "C.UTF-8", **spec.env}
        for name, value in env.items():
            flags += ["--setenv", name, value]
        binds = _host_binds(scratch) if spec.image == HOST_IMAGE else _image_binds(Path(spec.image))
        flags += [word for bind in binds for word in bind]
        flags += ["--proc", "/proc", *_proc_covers(), "--dev", "/dev", "--tmpfs", "/run"]
        flags += ["--size", str(spec.limits.tmp_mb << 20), "--tmpfs", "/tmp"]  # noqa: S108 - inside the sandbox
        flags += ["--size", str(64 << 20), "--tmpfs", CHANNEL_DIR]
        flags += ["--ro-bind", str(scratch / "pipes"), PIPES, "--bind", str(scratch / "home"), HOME]
        flags += ["--bind", str(scratch / "work"), spec.workdir]
        for host, target in mounts.items():
            flags += ["--ro-bind", host, target]
        return [*flags, "--remount-ro", "/", "--chdir", "/"]


def _keeper(spec: SandboxSpec) -> list[str]:
    script = supervisor_script(CHANNEL_DIR, crowd=spec.limits.pids // 2, launcher=f"{PIPES}/{LAUNCHER}")
    return ["/bin/sh", "-c", _KEEPER, "keeper", script, str(spec.limits.pids)]


def _limits(spec: SandboxSpec) -> list[str]:
    program = shutil.which("prlimit")
    if program is None:
        raise SandboxStartError("prlimit is not installed (package `util-linux`); without it there is no memory limit")
    memory = spec.limits.memory_mb << 20
    return [program, "--core=0", "--nofile=4096", f"--as={memory}", f"--fsize={spec.limits.disk_mb << 20}"]


def _path(image: str) -> str:
    """The running Python's own directory goes first, so that `python3` in the sandbox is the one that heats runs on."""
    base = Path(sys.base_prefix)
    if image != HOST_IMAGE or base == Path("/usr") or Path("/usr") in base.parents:
        return MINIMAL_PATH
    return f"{base / 'bin'}:{MINIMAL_PATH}"


def _host_binds(scratch: Path) -> Iterator[tuple[str, ...]]:
    yield ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/") / name
        if path.is_symlink():
            yield ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield ("--ro-bind", str(path), str(path))
    for name in ("passwd", "group"):
        yield ("--ro-bind", str(scratch / "etc" / name), f"/etc/{name}")
    for shared in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"):
        yield ("--ro-bind-try", shared, shared)
    base = Path(sys.base_prefix)
    if base != Path("/usr") and Path("/usr") not in base.parents:
        yield ("--ro-bind", str(base), str(base))


def _proc_covers() -> Iterator[str]:
    """What a container engine covers too. When heats runs as root, the sandbox's user is root to these files."""
    for path in (f"/proc/{name}" for name in _PROC_READ_ONLY if Path("/proc", name).exists()):
        yield from ("--ro-bind", path, path)
    for masked in (Path("/proc", name) for name in _PROC_MASKED):
        if masked.is_dir():
            yield from ("--tmpfs", str(masked), "--remount-ro", str(masked))
        elif masked.exists():
            yield from ("--ro-bind", "/dev/null", str(masked))


def _image_binds(root: Path) -> Iterator[tuple[str, ...]]:
    for path in sorted(root.iterdir()):
        if path.name in _SKIPPED:
            continue
        if path.is_symlink():
            yield ("--symlink", str(path.readlink()), f"/{path.name}")
        elif path.is_dir():
            yield ("--ro-bind", str(path), f"/{path.name}")


def _furnish(scratch: Path, spec: SandboxSpec) -> None:
    """The writable directories, and the names of the two users."""
    for name in ("home", "pipes", "etc"):
        (scratch / name).mkdir()
    place_launcher(scratch / "pipes")
    uid = 0 if spec.user in ("root", "0", "0:0") else 1234
    name = "root" if uid == 0 else "agent"
    (scratch / "etc" / "passwd").write_text(
        f"{name}:x:{uid}:{uid}:{name}:{HOME}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
    )
    (scratch / "etc" / "group").write_text(f"{name}:x:{uid}:\nnogroup:x:65534:\n")
    pristine = Path(spec.image) / spec.workdir.lstrip("/")
    if spec.image != HOST_IMAGE and pristine.is_dir():
        subprocess.run(["cp", "-a", "--", str(pristine), str(scratch / "work")], check=True, timeout=600)
    else:
        (scratch / "work").mkdir()


async def _try(argv: list[str]) -> str:
    """Empty when the program ends with 0, else what it said."""

    def run() -> str:
        try:
            done = subprocess.run(argv, capture_output=True, timeout=_TRY_S, stdin=subprocess.DEVNULL, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.decode("utf-8", "replace").strip() or "it failed"

    return await asyncio.to_thread(run)
