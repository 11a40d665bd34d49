"""Bubblewrap sandboxes, for machines without Docker: namespaces without a daemon.

Limits are weaker than a container's: memory is limited per process rather than per sandbox. The number of processes is
limited by the kernel's per-user limit or, for root, by a control group if one can be created.
"""

import asyncio
import ctypes
import logging
import os
import platform
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from sandbox.attest import attest, checked_mounts, refuse_private
from sandbox.base import SandboxSpec
from sandbox.cgroup import ProcessGroup
from sandbox.channel import ChannelBroken
from sandbox.config import SandboxConfig
from sandbox.diskwatch import DiskWatch, refuse_below_floor
from sandbox.errors import BackendUnavailable, ImageMissing, SandboxStartError
from sandbox.host_image import BIN, host_binds, interpreter
from sandbox.process import MINIMAL_PATH, Launch, ProcessMachine
from sandbox.scratch import disk_usage, make_scratch, remove_scratch, scratch_leftovers
from sandbox.seccomp import seccomp_filter
from sandbox.session import ChannelSandbox
from sandbox.supervisor import private_shell, supervisor_script
from sandbox.transport import TransportClosed

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

HOST_IMAGE = "host"
CHANNEL_DIR = "/run/heats"
PIPES = "/run/heats-pipes"
HOME = "/run/home"
_TRY_S = 20.0
_OUTSIDE = 1
"""Processes of a sandbox outside its namespace: bwrap itself."""
_FORKS = 2
"""Forks between bwrap and the supervisor: the first process, then the supervisor."""
_PROC_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_PROC_MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats")
_NOT_SHOWN = frozenset({"proc", "dev", "tmp", "run", "sys", "lost+found"})
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1

# PID 1 cannot be killed from inside, and its `wait` reaps orphans. It restarts the supervisor if a command kills it.
# When the supervisor's input ends, it exits with 0 and takes the sandbox with it.
_FIRST_PROCESS = f"""ulimit -p "$1" 2>/dev/null || ulimit -u "$1" 2>/dev/null
n=0
while [ "$n" -lt 100 ]; do
  setsid "$0" -c ". {PIPES}/supervisor" && exit 0
  n=$((n + 1))
done
"""


class BubblewrapBackend:
    """Runs each sandbox as a bubblewrap child process; see `SandboxBackend`."""

    name = "bubblewrap"
    default_image = HOST_IMAGE

    def __init__(self, config: SandboxConfig, program: str, features: frozenset[str]) -> None:
        self._config = config
        self._program = program
        self._features = features
        self._disk = DiskWatch(self._written, config.disk_check_s)
        self._filter = seccomp_filter(platform.machine())
        self._starter = _KeyringThread()
        if self._filter is None:
            _log.warning("bubblewrap runs without a system call filter: there is none for %s", platform.machine())

    @classmethod
    async def open(cls, config: SandboxConfig) -> "BubblewrapBackend":
        """Check that bwrap works on this machine.

        Raises:
            BackendUnavailable: bwrap is not installed, or namespaces are not permitted.
        """
        program = shutil.which("bwrap")
        if program is None:
            raise BackendUnavailable("bwrap is not installed (Debian, Fedora, Arch: the package `bubblewrap`)")
        flags = ["--unshare-all", "--unshare-user", "--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/"]
        problem = await _try([program, *flags, "--", "/bin/sh", "-c", "exit 0"])
        if problem:
            raise BackendUnavailable(f"bwrap cannot create a sandbox on this machine: {problem}")
        nested = not await _try([program, *flags, "--disable-userns", "--", "/bin/sh", "-c", "exit 0"])
        return cls(config, program, frozenset({"--disable-userns"} if nested else ()))

    async def preflight(self, images: Collection[str]) -> None:
        """See `SandboxBackend.preflight`.

        Raises:
            BackendUnavailable: an image would expose the home directory or a private directory, so it is refused.
            ImageMissing: an image is not a root directory.
        """
        images = {image or self._config.image or self.default_image for image in images}
        roots = {image: Path(image) for image in images if image != HOST_IMAGE}
        missing = tuple(sorted(image for image, root in roots.items() if not (root / "usr").is_dir()))
        if missing:
            raise ImageMissing(missing, f"a bubblewrap image is a root directory, or `{HOST_IMAGE}`")
        for image, root in sorted(roots.items()):
            if reason := refuse_private(root, self._config.private_dirs):
                raise BackendUnavailable(
                    f"{image} is not usable as an image: {reason}; unpack a separate root directory"
                )

    async def start(self, spec: SandboxSpec) -> ChannelSandbox:
        """See `SandboxBackend.start`."""
        spec = replace(spec, image=spec.image or self._config.image or self.default_image)
        await self.preflight([spec.image])
        if spec.network != "none":
            raise SandboxStartError("bubblewrap could only share the host's network, which is not allowed: use docker")
        mounts = checked_mounts(spec.read_only_mounts, self._config.private_dirs)
        refuse_below_floor(self._config.scratch().parent, self._config.free_floor_mb)
        scratch = make_scratch(self._config.scratch(), self.name, spec.labels)
        machine = None
        filter_fd = _pipe_holding(self._filter) if self._filter is not None else None
        try:
            await asyncio.to_thread(_make_directories, scratch, spec)
            argv = self._command(scratch, spec, mounts, filter_fd)
            launch = Launch(
                argv,
                {"PATH": MINIMAL_PATH},
                scratch,
                PIPES,
                spec.limits.max_life_s,
                pass_fds=() if filter_fd is None else (filter_fd,),
                thread=self._starter,
            )
            machine = ProcessMachine(scratch.name, launch, depth=_FORKS)
            channel = await machine.connect()
            machine.private = await attest(channel, spec, secrets.token_hex(16), seccomp=self._filter is not None)
        except BaseException as error:
            await asyncio.shield(machine.destroy() if machine else asyncio.to_thread(remove_scratch, scratch))
            if isinstance(error, ChannelBroken | TransportClosed):
                raise SandboxStartError(f"bwrap did not start a sandbox: {error}") from error
            raise
        finally:
            if filter_fd is not None:
                os.close(filter_fd)
        sandbox = ChannelSandbox(machine, spec, channel, persistent=self._config.persistent)
        self._disk.add(sandbox)
        return sandbox

    async def reap(self) -> int:
        """See `SandboxBackend.reap`. Processes die with their owner, so only their files are left to remove."""
        found = list(scratch_leftovers(self._config.scratch(), self.name))
        for left in found:
            await asyncio.to_thread(remove_scratch, left.path)
        return len(found)

    async def close(self) -> None:
        """See `SandboxBackend.close`. Sandboxes still running end with the thread that started them."""
        await self._disk.close()
        self._starter.shutdown(wait=False)

    async def _written(self, names: Collection[str]) -> dict[str, int]:
        return await asyncio.to_thread(disk_usage, self._config.scratch(), names)

    def _command(self, scratch: Path, spec: SandboxSpec, mounts: Mapping[str, str], filter_fd: int | None) -> list[str]:
        first = private_shell(CHANNEL_DIR, _FIRST_PROCESS, str(spec.limits.pids), sh="/bin/sh")
        flags = [*self._flags(scratch, spec), *self._binds(scratch, spec, mounts)]
        if filter_fd is not None:
            flags += ["--seccomp", str(filter_fd)]
        argv = [*_limits(spec), self._program, *flags, "--", *first]
        if os.getuid() == 0 and (group := ProcessGroup.make(scratch.name, spec.limits.pids + _OUTSIDE)) is not None:
            return group.wrap(argv)
        return argv

    def _flags(self, scratch: Path, spec: SandboxSpec) -> list[str]:
        uid = "0" if spec.user in ("root", "0", "0:0") else "1234"
        flags = [
            *("--unshare-all", "--unshare-user", "--uid", uid, "--gid", uid, "--hostname", "sandbox"),
            *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
            *sorted(self._features),
        ]
        env = {"PATH": self._path(spec.image), "HOME": HOME, "LANG": "C.UTF-8", **spec.env}
        for name, value in env.items():
            flags += ["--setenv", name, value]
        return flags

    def _binds(self, scratch: Path, spec: SandboxSpec, mounts: Mapping[str, str]) -> list[str]:
        if spec.image == HOST_IMAGE:
            names = [("--ro-bind", str(scratch / "etc" / name), f"/etc/{name}") for name in ("passwd", "group")]
            binds = [*host_binds(scratch / "empty", packages=self._config.host_packages), *names]
        else:
            binds = list(_image_binds(Path(spec.image)))
        flags = [word for bind in binds for word in bind]
        flags += ["--proc", "/proc", *_proc_covers(), "--dev", "/dev", "--tmpfs", "/run"]
        flags += ["--size", str(spec.limits.tmp_mb << 20), "--tmpfs", "/tmp"]  # noqa: S108 - inside the sandbox
        flags += ["--size", str(64 << 20), "--tmpfs", CHANNEL_DIR]
        flags += ["--ro-bind", str(scratch / "pipes"), PIPES, "--bind", str(scratch / "home"), HOME]
        if spec.image == HOST_IMAGE:
            flags += ["--ro-bind", str(scratch / "bin"), BIN]
        flags += ["--bind", str(scratch / "work"), spec.workdir]
        for host, target in mounts.items():
            flags += ["--ro-bind", host, target]
        return [*flags, "--remount-ro", "/", "--chdir", "/"]

    def _path(self, image: str) -> str:
        if image != HOST_IMAGE:
            return MINIMAL_PATH
        own = Path(sys.base_prefix, "bin")
        extra = f"{own}:" if self._config.host_packages and not own.is_relative_to("/usr") else ""
        return f"{BIN}:{extra}{MINIMAL_PATH}"


def _limits(spec: SandboxSpec) -> list[str]:
    program = shutil.which("prlimit")
    if program is None:
        raise SandboxStartError("prlimit is not installed (package `util-linux`); without it there is no memory limit")
    memory = spec.limits.memory_mb << 20
    return [program, "--core=0", "--nofile=4096", f"--as={memory}", f"--fsize={spec.limits.disk_mb << 20}"]


def _pipe_holding(data: bytes) -> int:
    """Write data that fits a pipe's buffer and return the read end."""
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    return read


class _KeyringThread(ThreadPoolExecutor):
    """A single thread that gives each call, and the process it starts, a new empty session keyring.

    Namespaces do not separate keyrings, so a sandbox would otherwise share the user's.
    """

    def __init__(self) -> None:
        super().__init__(1, thread_name_prefix="heats-bwrap")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `Executor.submit`."""

        def call() -> T:
            _join_new_keyring()
            return fn(*args, **kwargs)

        return super().submit(call)


def _join_new_keyring() -> None:
    """Join an empty session keyring. If the kernel has no keyrings or refuses, there is nothing to separate."""
    number = _KEYCTL.get(platform.machine())
    if number is not None:
        with suppress(OSError):
            ctypes.CDLL(None, use_errno=True).syscall(number, _JOIN_SESSION_KEYRING, None)


def _proc_covers() -> Iterator[str]:
    """Hide the same parts of /proc as container engines do, since the sandbox's user may be root to these files."""
    for path in (f"/proc/{name}" for name in _PROC_READ_ONLY if Path("/proc", name).exists()):
        yield from ("--ro-bind", path, path)
    for masked in (Path("/proc", name) for name in _PROC_MASKED):
        if masked.is_dir():
            yield from ("--tmpfs", str(masked), "--remount-ro", str(masked))
        elif masked.exists():
            yield from ("--ro-bind", "/dev/null", str(masked))


def _image_binds(root: Path) -> Iterator[tuple[str, ...]]:
    for path in sorted(root.iterdir()):
        if path.name in _NOT_SHOWN:
            continue
        if path.is_symlink():
            yield ("--symlink", str(path.readlink()), f"/{path.name}")
        elif path.is_dir():
            yield ("--ro-bind", str(path), f"/{path.name}")


def _make_directories(scratch: Path, spec: SandboxSpec) -> None:
    """Create the writable directories, the user database and the `python` links."""
    for name in ("home", "pipes", "etc", "empty", "bin"):
        (scratch / name).mkdir()
    script = supervisor_script(CHANNEL_DIR, crowd=spec.limits.pids // 2)
    (scratch / "pipes" / "supervisor").write_text(script, encoding="ascii")
    for name in ("python", "python3"):
        (scratch / "bin" / name).symlink_to(interpreter())
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
    """Run a program; returns an empty string on success, else its error output."""

    def run() -> str:
        try:
            done = subprocess.run(argv, capture_output=True, timeout=_TRY_S, stdin=subprocess.DEVNULL, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.decode("utf-8", "replace").strip() or "it failed"

    return await asyncio.to_thread(run)
