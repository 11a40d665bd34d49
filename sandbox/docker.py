"""Docker containers as sandboxes: hardened flags, labels, leftovers. Podman's compatible socket should work too."""

import asyncio
import logging
import platform
import secrets
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from sandbox.attest import attest, checked_mounts
from sandbox.base import Sandbox, SandboxSpec
from sandbox.channel import ChannelBroken
from sandbox.config import SandboxConfig
from sandbox.container import CHANNEL_DIR, FIRST_PROCESS, LABEL, PIPES, ContainerMachine
from sandbox.diskwatch import DiskWatch, refuse_below_floor
from sandbox.engine import Engine, EngineError, NoSuchObject
from sandbox.errors import BackendUnavailable, ImageMissing, SandboxLost, SandboxStartError
from sandbox.gvisor import is_gvisor, limited, outer_pids
from sandbox.owner import Owner
from sandbox.prepared import VENV
from sandbox.process import MINIMAL_PATH
from sandbox.scratch import make_scratch, remove_scratch, scratch_leftovers
from sandbox.session import ChannelSandbox
from sandbox.transport import TransportClosed

_log = logging.getLogger(__name__)

_TICK_S = 15
_OURS = (None, "runc", "crun")
"""Runtimes whose containers share the host kernel, including its pipes and system call filters."""
_ROOT = ("root", "0", "0:0", "root:root")
_SHM_MB = 64


class DockerBackend:
    """Runs each sandbox as a Docker container; see `SandboxBackend`."""

    name = "docker"
    default_image = "heats-base:latest"

    def __init__(self, config: SandboxConfig, engine: Engine) -> None:
        self._config = config
        self.engine = engine
        self._root = Path("/nowhere")
        self._own_cgroup_view = False
        self._disk = DiskWatch(self._written, config.disk_check_s)
        plain = config.channel == "auto" and config.persistent and config.runtime in _OURS
        self._use_pipes = engine.local and (plain or config.channel == "pipes")
        self._pipes_work = False

    @property
    def runtime(self) -> str | None:
        """The configured runtime; None for the daemon's default."""
        return self._config.runtime

    @classmethod
    async def open(cls, config: SandboxConfig) -> "DockerBackend":
        """Connect to the daemon.

        Raises:
            BackendUnavailable: it does not answer, or pipes are required but it runs on another machine.
        """
        engine = Engine(config)
        try:
            if config.channel == "pipes" and not engine.local:
                raise BackendUnavailable(f"sandbox.channel pipes: the daemon at {engine.address} is on another machine")
            await engine.connect()
            backend = cls(config, engine)
            info = await engine.call("ask", engine.api.info)
            backend._own_cgroup_view = str(info.get("CgroupVersion")) == "2"
            if engine.local:
                backend._root = Path(str(info.get("DockerRootDir")))
        except BaseException:
            await engine.close()
            raise
        return backend

    async def preflight(self, images: Collection[str]) -> None:
        """See `SandboxBackend.preflight`."""
        info = await self.engine.call("ask", self.engine.api.info)
        runtime = self._config.runtime
        if runtime and runtime not in (info.get("Runtimes") or {}):
            known = ", ".join(sorted(info.get("Runtimes") or {}))
            raise BackendUnavailable(f"the Docker daemon has no runtime {runtime!r}; it has {known}")
        images = {image or self._config.image or self.default_image for image in images}
        found = dict(zip(images, await asyncio.gather(*(self._image(image) for image in images)), strict=True))
        if missing := tuple(sorted(image for image, about in found.items() if about is None)):
            raise ImageMissing(missing, "build or pull them first; nothing is pulled during a run")
        machine = _architecture(str(info.get("Architecture") or platform.machine()))
        wrong = sorted(
            f"{i} ({a['Architecture']})" for i, a in found.items() if a and _architecture(a["Architecture"]) != machine
        )
        if wrong:
            raise BackendUnavailable(f"images for another architecture than {machine}: {', '.join(wrong)}")

    async def start(self, spec: SandboxSpec) -> ChannelSandbox:
        """See `SandboxBackend.start`.

        Pipes that bypass the daemon and a network namespace that it does not manage halve the start-up time. A remote
        daemon, or one that is not Docker's, may not support this; containers then start without.
        """
        spec = replace(spec, image=spec.image or self._config.image or self.default_image)
        if spec.prepared and await self.has_prepared(name := await self.prepared_name(spec)):
            spec = replace(spec, image=name)
        if not spec.workdir:
            about = await self._image(spec.image) or {}
            spec = replace(spec, workdir=(about.get("Config") or {}).get("WorkingDir") or "/")
        refuse_below_floor(self._root, self._config.free_floor_mb)
        with_pipes = self._use_pipes
        try:
            sandbox = await self._start(spec, with_pipes=with_pipes)
            self._pipes_work |= with_pipes
        except SandboxStartError as error:
            if not with_pipes or self._config.channel == "pipes":
                raise
            sandbox = await self._start(spec, with_pipes=False)
            if not self._pipes_work:  # if pipes worked before, this start was merely too slow, on a busy machine
                _log.warning("from now on containers start without pipes: %s", error)
                self._use_pipes = False
        return sandbox

    async def _start(self, spec: SandboxSpec, *, with_pipes: bool) -> ChannelSandbox:
        name = f"heats-{secrets.token_hex(8)}"
        folder = self._pipe_folder(spec) if with_pipes else None
        machine = ContainerMachine(self.engine, self._config, name, crowd=spec.limits.pids // 2, folder=folder)
        try:
            await self._create(name, spec, await machine.supervisor_at_start(), folder)
            channel = await machine.connect()
            ours = self._config.runtime in _OURS
            machine.private = await attest(channel, spec, secrets.token_hex(16), seccomp=ours, own_kernel=not ours)
        except BaseException as error:
            # The daemon may have created the container even though the call failed.
            await asyncio.shield(machine.destroy())
            if isinstance(error, ChannelBroken | TransportClosed | EngineError | SandboxLost):
                raise SandboxStartError(f"could not start a sandbox from {spec.image}: {error}") from error
            raise
        sandbox = ChannelSandbox(machine, spec, channel, persistent=self._config.persistent)
        self._disk.add(sandbox)
        return sandbox

    @property
    def prepared_dir(self) -> Path:
        """See `KeepsPrepared`."""
        return self._config.prepared()

    async def prepared_name(self, spec: SandboxSpec) -> str:
        """See `KeepsPrepared`. It is the name of an image."""
        image = spec.image or self._config.image or self.default_image
        about = await self._image(image)
        if about is None:
            raise ImageMissing((image,), "build or pull it first")
        identity = f"{spec.prepared} {about['Id']}"
        return f"heats-prepared:{sha256(identity.encode()).hexdigest()[:24]}"

    async def has_prepared(self, name: str) -> bool:
        """See `KeepsPrepared`."""
        return await self._image(name) is not None

    async def keep_prepared(self, sandbox: Sandbox, name: str) -> None:
        """See `KeepsPrepared`. The daemon names the image only once it is complete."""
        assert isinstance(sandbox, ChannelSandbox)
        assert isinstance(sandbox.machine, ContainerMachine)
        about = await self.engine.call("ask", self.engine.api.inspect_container, sandbox.machine.name)
        environment = dict(line.partition("=")[::2] for line in (about.get("Config") or {}).get("Env") or ())
        path = environment.get("PATH") or MINIMAL_PATH
        changes = [f'LABEL {LABEL}made="prepared"', f"ENV PATH={VENV}/bin:{path}", f"WORKDIR {sandbox.spec.workdir}"]
        await sandbox.machine.commit(name, changes)

    async def reap(self) -> int:
        """See `SandboxBackend.reap`."""
        found = await self.leftovers()
        for left in scratch_leftovers(self._config.scratch(), self.name):
            await asyncio.to_thread(remove_scratch, left.path)
        return sum([await self.remove(name) for name in found])

    async def remove(self, name: str) -> bool:
        """Remove a container; returns whether it is gone."""
        machine = ContainerMachine(self.engine, self._config, name)
        await machine.destroy()
        return await machine.alive() is False

    async def leftovers(self) -> dict[str, Mapping[str, str]]:
        """Find containers of dead owners, as name -> labels."""
        listed = await self.engine.call("ask", self.engine.api.containers, all=True, filters={"label": f"{LABEL}owner"})
        found: dict[str, Mapping[str, str]] = {}
        for entry in listed:
            labels = entry.get("Labels") or {}
            owner = Owner.parse(labels.get(f"{LABEL}host", ""), labels.get(f"{LABEL}owner", ""))
            if owner is not None and owner.dead:
                found[entry["Names"][0].lstrip("/")] = {
                    key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL)
                }
        return found

    async def close(self) -> None:
        """See `SandboxBackend.close`."""
        await self._disk.close()
        await self.engine.close()

    async def _written(self, names: Collection[str]) -> dict[str, int]:
        """Bytes in the writable layers of these containers, from a single call."""
        mine = {"label": f"{LABEL}owner={Owner.this_process()}"}
        listed = await self.engine.call("ask", self.engine.api.containers, size=True, filters=mine)
        return {entry["Names"][0].lstrip("/"): int(entry.get("SizeRw") or 0) for entry in listed}

    async def _image(self, image: str) -> dict[str, Any] | None:
        try:
            return await self.engine.call("ask", self.engine.api.inspect_image, image)
        except NoSuchObject:
            return None

    def _pipe_folder(self, spec: SandboxSpec) -> Path:
        folder = make_scratch(self._config.scratch(), self.name, spec.labels) / "pipes"
        folder.mkdir()
        folder.chmod(0o755)
        return folder

    async def _create(self, name: str, spec: SandboxSpec, supervisor: list[str], folder: Path | None) -> None:
        api = self.engine.api
        mounts = checked_mounts(spec.read_only_mounts, self._config.private_dirs)
        if mounts and not self.engine.local:
            raise SandboxStartError("read-only mounts need a Docker daemon on this machine")
        host_config = api.create_host_config(**self._host_config(spec, mounts, folder))
        gvisor = is_gvisor(self._config.runtime)
        first = limited(FIRST_PROCESS, spec.limits.pids) if gvisor else FIRST_PROCESS
        tick = max(1, min(_TICK_S, int(spec.limits.max_life_s)))
        ticks = max(1, int(spec.limits.max_life_s) // tick)

        def create_and_start() -> None:
            api.create_container(
                spec.image,
                entrypoint=["sh", "-c", first, "first"],
                command=[str(ticks), str(tick), *supervisor],
                name=name,
                hostname="sandbox",
                # By number, since an image without /etc/passwd has no user names.
                user="0" if spec.user == "root" else spec.user or None,
                # The daemon would create the workdir as root, and gVisor would hide one below /tmp by mounting /tmp
                # over it. In both cases it is created from inside instead.
                working_dir=spec.workdir if spec.user in _ROOT and not gvisor else "/",
                environment=dict(spec.env),
                labels=_labels(spec),
                host_config=host_config,
                # The runtime creates a namespace that contains only `lo`. Without the daemon's /etc/hosts, the first
                # process has to write it, which requires root.
                network_disabled=bool(supervisor) and _bare(spec),
                # The host's proxy settings may contain passwords; keep them out of the sandbox.
                use_config_proxy=False,
            )
            api.start(name)

        try:
            await self.engine.call("start", create_and_start)
        except NoSuchObject as error:
            raise ImageMissing((spec.image,), "nothing is pulled during a run") from error

    def _host_config(self, spec: SandboxSpec, mounts: Mapping[str, str], folder: Path | None) -> dict[str, Any]:
        from docker.types import LogConfig, Mount, Ulimit  # see sandbox.engine

        limits = spec.limits
        memory = limits.memory_mb << 20
        staging_mb = max(8, min(128, limits.memory_mb // 4))
        if spec.profile == "strict" and limits.tmp_mb > limits.memory_mb:
            raise SandboxStartError(
                f"tmp_mb {limits.tmp_mb} is more than memory_mb {limits.memory_mb}; tmpfs is memory"
            )
        staging = {CHANNEL_DIR: f"rw,exec,nosuid,nodev,size={staging_mb}m,mode=1777"}
        tmp = {"/tmp": f"rw,exec,nosuid,nodev,size={limits.tmp_mb}m,mode=1777"}  # noqa: S108 - inside the container
        strict = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "tmpfs": tmp | staging}
        return {
            **(strict if spec.profile == "strict" else {"tmpfs": staging}),
            "network_mode": spec.network,
            "pids_limit": outer_pids(limits.pids) if is_gvisor(self._config.runtime) else limits.pids,
            "mem_limit": memory,
            "memswap_limit": memory,
            "nano_cpus": int(limits.cpus * 1e9),
            "ulimits": [
                Ulimit(name="core", soft=0, hard=0),
                Ulimit(name="nofile", soft=4096, hard=4096),
                Ulimit(name="fsize", soft=limits.disk_mb << 20, hard=limits.disk_mb << 20),
            ],
            "ipc_mode": "private",
            # In the host's view, the default of some daemons, all of the machine's groups are visible and OOM kills are
            # not.
            "cgroupns": "private" if self._own_cgroup_view else None,
            "shm_size": min(_SHM_MB << 20, memory // 4),
            "log_config": LogConfig(type="none"),
            "auto_remove": True,
            "runtime": self._config.runtime,
            "mounts": [Mount(PIPES, str(folder), type="bind", read_only=True)] if folder else [],
            "binds": [f"{host}:{target}:ro" for host, target in mounts.items()],
        }


def _bare(spec: SandboxSpec) -> bool:
    return spec.network == "none" and spec.profile == "strict" and spec.user in _ROOT


def _labels(spec: SandboxSpec) -> dict[str, str]:
    owner = Owner.this_process()
    return {
        **{f"{LABEL}{key}": value for key, value in spec.labels.items()},
        f"{LABEL}owner": str(owner),
        f"{LABEL}host": owner.host,
    }


def _architecture(name: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(name, name)
