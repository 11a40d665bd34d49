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
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from sandbox.attest import attest, checked_mounts, refuse_private
from sandbox.base import Sandbox, SandboxSpec
from sandbox.bubblewrap_view import CHANNEL_DIR, HOST_IMAGE, PIPES, View, copy_files
from sandbox.cgroup import ProcessGroup
from sandbox.channel import ChannelBroken
from sandbox.config import SandboxConfig
from sandbox.diskwatch import DiskWatch, refuse_below_floor
from sandbox.errors import BackendUnavailable, ImageMissing, SandboxStartError
from sandbox.host_image import interpreter
from sandbox.oci import ImageStore, is_reference
from sandbox.overlay import LAYER, TREE, Overlay
from sandbox.prepared import lock
from sandbox.process import MINIMAL_PATH, Launch, ProcessMachine
from sandbox.scratch import disk_usage, make_scratch, remove_scratch, scratch_leftovers
from sandbox.seccomp import seccomp_filter
from sandbox.session import ChannelSandbox
from sandbox.supervisor import private_shell
from sandbox.transport import TransportClosed

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_TRY_S = 20.0
_ASKED_AT_ONCE = 8
_IMAGES = f"a bubblewrap image is a root directory, `{HOST_IMAGE}`, or a reference such as `python:3.12` or `oci:PATH`"
_OUTSIDE = 1
"""Processes of a sandbox outside its namespace: bwrap itself."""
_FORKS = 2
"""Forks between bwrap and the supervisor: the first process, then the supervisor."""
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
        self._images = ImageStore(config.prepared(), config.docker_host)
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._overlay: Overlay | None = None
        self._probed = False
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
            ImageMissing: an image is no root directory, and nothing of its name can be fetched.
        """
        images = {image or self._config.image or self.default_image for image in images}
        roots = {image: Path(image) for image in images if image != HOST_IMAGE and not self._is_reference(image)}
        missing = {image: "" for image, root in roots.items() if not (root / "usr").is_dir()}
        for image, root in sorted(roots.items()):
            reason = refuse_private(root, self._config.private_dirs) if image not in missing else ""
            if reason:
                raise BackendUnavailable(
                    f"{image} is not usable as an image: {reason}; unpack a separate root directory"
                )
        references = sorted(image for image in images if self._is_reference(image))
        for image, reason in zip(references, await asyncio.gather(*map(self._missing, references)), strict=True):
            missing |= {image: reason} if reason else {}
        if missing:
            first = next(iter(filter(None, missing.values())), _IMAGES)
            raise ImageMissing(tuple(sorted(missing)), first)

    @staticmethod
    def _is_reference(image: str) -> bool:
        return image != HOST_IMAGE and is_reference(image) and not Path(image, "usr").is_dir()

    async def _missing(self, image: str) -> str:
        """Why an image cannot be found; empty if it can."""
        try:
            async with self._asking:
                await self._images.name_of(image)
        except ImageMissing as error:
            return error.hint
        return ""

    async def start(self, spec: SandboxSpec) -> ChannelSandbox:
        """See `SandboxBackend.start`."""
        spec = replace(spec, image=spec.image or self._config.image or self.default_image)
        await self.preflight([spec.image])
        if spec.network == "bridge":
            raise SandboxStartError("bubblewrap could only share the host's network, which is not allowed: use docker")
        mounts = checked_mounts(spec.read_only_mounts, self._config.private_dirs)
        refuse_below_floor(self._config.scratch().parent, self._config.free_floor_mb)
        view, locks = await self._view(spec)
        spec, scratch, machine = view.spec, view.scratch, None
        filter_fd = _pipe_holding(self._filter) if self._filter is not None else None
        try:
            await asyncio.to_thread(view.make)
            launch = Launch(
                self._command(view, mounts, filter_fd),
                {"PATH": MINIMAL_PATH},
                scratch,
                PIPES,
                spec.limits.max_life_s,
                pass_fds=() if filter_fd is None else (filter_fd,),
                thread=self._starter,
                locks=locks,
            )
            machine = ProcessMachine(scratch.name, launch, depth=_FORKS)
            channel = await machine.connect()
            machine.private = await attest(channel, spec, secrets.token_hex(16), seccomp=self._filter is not None)
        except BaseException as error:
            await asyncio.shield(machine.destroy() if machine else asyncio.to_thread(remove_scratch, scratch))
            for held in locks:
                held.close()
            if isinstance(error, ChannelBroken | TransportClosed):
                raise SandboxStartError(f"bwrap did not start a sandbox: {error}") from error
            raise
        finally:
            if filter_fd is not None:
                os.close(filter_fd)
        sandbox = ChannelSandbox(machine, spec, channel, persistent=self._config.persistent)
        self._disk.add(sandbox)
        return sandbox

    async def _view(self, spec: SandboxSpec) -> tuple[View, list[IO[str]]]:
        """What a sandbox will see, in a new directory, and locks on what it starts from."""
        locks: list[IO[str]] = []
        try:
            image = await self._images.unpacked(spec.image) if self._is_reference(spec.image) else None
            if image is not None:
                spec = replace(spec, workdir=spec.workdir or image.workdir)
                locks += await self._in_use(image.name)
            kept = self.prepared_dir / await self.prepared_name(spec) if spec.prepared else None
            if kept is not None and await asyncio.to_thread(kept.is_dir):
                locks += await self._in_use(kept.name)
            else:
                kept = None
            for path in (path for path in (kept, image and image.root) if path and not path.is_dir()):
                raise SandboxStartError(f"{path} was removed just now")
            overlay = await self._mounts() if image is not None or kept is not None else None
            scratch = await asyncio.to_thread(make_scratch, self._config.scratch(), self.name, spec.labels)
        except BaseException:
            for held in locks:
                held.close()
            raise
        return View(spec, scratch, image, kept, overlay, self._config.host_packages), locks

    async def _in_use(self, name: str) -> list[IO[str]]:
        """Keep `heats gc` from removing an environment. Where nobody may lock it, nobody can remove it either."""
        with suppress(BackendUnavailable):
            return [await lock(self.prepared_dir / f"{name}.lock", shared=True)]
        return []

    async def _mounts(self) -> Overlay | None:
        """How to mount overlays; None if this machine mounts none."""
        if not self._probed:
            self._overlay, self._probed = Overlay.find(), True
            problem = "unshare or mount is missing (package `util-linux`)"
            if self._overlay is not None:
                folder = await asyncio.to_thread(make_scratch, self._config.scratch(), self.name, {})
                try:
                    problem = await _try(await asyncio.to_thread(self._overlay.probe, folder))
                finally:
                    await asyncio.to_thread(remove_scratch, folder)
            if problem:
                _log.warning("files are copied for each sandbox, as no overlay can be mounted here: %s", problem)
                self._overlay = None
        return self._overlay

    @property
    def prepared_dir(self) -> Path:
        """See `KeepsPrepared`."""
        return self._config.prepared()

    async def prepared_name(self, spec: SandboxSpec) -> str:
        """See `KeepsPrepared`. It is a directory in `prepared_dir`."""
        image = spec.image or self._config.image or self.default_image
        if self._is_reference(image):
            identity: tuple[object, ...] = (
                spec.prepared,
                await self._images.name_of(image),
                bool(await self._mounts()),
            )
        else:
            root = Path(image) if image != HOST_IMAGE else interpreter()
            about = await asyncio.to_thread(root.stat)
            version = (root, sys.version, about.st_ino, about.st_mtime_ns)
            identity = (spec.prepared, image, version, self._config.host_packages, TREE)
        return f"kept-{sha256(repr(identity).encode()).hexdigest()[:24]}"

    async def has_prepared(self, name: str) -> bool:
        """See `KeepsPrepared`."""
        return await asyncio.to_thread((self.prepared_dir / name).is_dir)

    async def keep_prepared(self, sandbox: Sandbox, name: str) -> None:
        """See `KeepsPrepared`. The copy gets its name once it is complete."""
        assert isinstance(sandbox, ChannelSandbox)
        layered = self._is_reference(sandbox.spec.image) and await self._mounts() is not None
        folder = LAYER if layered else TREE
        source = self._config.scratch() / sandbox.machine.name / folder
        made = await asyncio.to_thread(make_scratch, self.prepared_dir, self.name, sandbox.spec.labels)
        try:
            await asyncio.to_thread(copy_files, source, made / folder)
            with suppress(FileExistsError):
                await asyncio.to_thread(os.rename, made, self.prepared_dir / name)
        finally:
            await asyncio.to_thread(remove_scratch, made)

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

    def _command(self, view: View, mounts: Mapping[str, str], filter_fd: int | None) -> list[str]:
        spec = view.spec
        first = private_shell(CHANNEL_DIR, _FIRST_PROCESS, str(spec.limits.pids), sh="/bin/sh")
        flags = [*self._flags(view), *view.binds(mounts)]
        if filter_fd is not None:
            flags += ["--seccomp", str(filter_fd)]
        argv = [*_limits(spec), *view.wrap([self._program, *flags, "--", *first])]
        group = ProcessGroup.make(view.scratch.name, spec.limits.pids + _OUTSIDE) if os.getuid() == 0 else None
        return argv if group is None else group.wrap(argv)

    def _flags(self, view: View) -> list[str]:
        uid, gid = view.ids()
        flags = [
            *("--unshare-all", "--unshare-user", "--uid", str(uid), "--gid", str(gid), "--hostname", "sandbox"),
            *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
            *sorted(self._features),
            *(("--share-net",) if view.spec.network == "host" else ()),
        ]
        for name, value in view.environment().items():
            flags += ["--setenv", name, value]
        return flags


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


async def _try(argv: list[str]) -> str:
    """Run a program; returns an empty string on success, else its error output."""

    def run() -> str:
        try:
            done = subprocess.run(argv, capture_output=True, timeout=_TRY_S, stdin=subprocess.DEVNULL, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.decode("utf-8", "replace").strip() or "it failed"

    return await asyncio.to_thread(run)
