"""Harbor's machine as heats sees it: copied as an image, or worked in directly."""

import secrets
import shlex
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.base import Machine, Task
from sandbox.base import ExecResult
from sandbox.docker import DockerBackend
from sandbox.errors import FileAccessError, FileTooLarge, SandboxFileNotFound
from sandbox.images import copy_of

_OUTPUT_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """An image made of a running container, and what it runs with."""

    image: str
    config: Mapping[str, Any]
    host_config: Mapping[str, Any]

    def task(self, instruction: str, timeout_s: float | None) -> Task:
        """A task on copies of that container, with its limits, user and network."""
        mode = str(self.host_config.get("NetworkMode") or "")
        memory, cpus = self.host_config.get("Memory") or 0, self.host_config.get("NanoCpus") or 0
        machine = Machine(
            profile="machine",
            user=str(self.config.get("User") or ""),
            cpus=cpus / 1e9 if cpus else None,
            memory_mb=memory >> 20 if memory else None,
            pids=4096,
            life_s=(timeout_s or 3600.0) + 1800.0,
        )
        return Task(
            id="harbor",
            statement=instruction,
            image=self.image,
            workdir=str(self.config.get("WorkingDir") or "/"),
            # A network that is shared with another container, such as a proxy, cannot be had a second time.
            network="none" if mode == "none" or mode.startswith("container:") else "bridge",
            submission="state",
            machine=machine,
            agent_timeout_s=timeout_s,
        )


async def copy_machine(backend: DockerBackend, container: str) -> Copied:
    """Keep a running container as an image.

    Raises:
        SandboxError: the daemon does not know it, or cannot copy it.
    """
    image = f"heats-state/harbor-{secrets.token_hex(4)}:start"
    about = await copy_of(backend, container, image)
    return Copied(image, about["Config"], about["HostConfig"])


class EnvironmentSandbox:
    """Harbor's environment as a `Sandbox`; closing it leaves it as it is."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment

    async def exec(
        self,
        command: str,
        *,
        timeout: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        merge_stderr: bool = False,
        trusted_exit: bool = False,
    ) -> ExecResult:
        """See `Sandbox.exec`; the time-out is Harbor's, and no result is trusted."""
        if stdin is not None:
            command = f"printf %s {shlex.quote(b64encode(stdin).decode())} | base64 -d | {{ {command}\n}}"
        try:
            given = {"cwd": cwd, "env": dict(env or {}) or None, "timeout_sec": max(1, round(timeout))}
            done = await self._environment.exec(command=command, **given)
        except TimeoutError:
            return ExecResult("timeout", None, b"")
        except RuntimeError as error:  # what Harbor's environments raise when their time is up
            status = "timeout" if "timed out" in str(error).lower() else "indeterminate"
            return ExecResult("timeout" if status == "timeout" else "indeterminate", None, str(error).encode())
        out, err = (done.stdout or "").encode(), (done.stderr or "").encode()
        return ExecResult("exited", done.return_code, out[:_OUTPUT_LIMIT], err[:_OUTPUT_LIMIT], len(out), len(err))

    async def read_file(self, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        """See `Sandbox.read_file`."""
        result = await self.exec(f"[ ! -L {shlex.quote(path)} ] && base64 <{shlex.quote(path)}", timeout=120)
        if not result.ok:
            raise SandboxFileNotFound(f"{path}: no such file")
        whole = result.stdout_total == len(result.stdout)
        data = b64decode(result.stdout) if whole else b""
        if not whole or len(data) > max_bytes:
            raise FileTooLarge(f"{path}: larger than {max_bytes if whole else _OUTPUT_LIMIT * 3 // 4} bytes")
        return data

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """See `Sandbox.write_file`."""
        target = shlex.quote(path)
        script = f'mkdir -p -- "$(dirname -- {target})"; cat >{target} && chmod {mode:o} {target}'
        if not (await self.exec(script, timeout=120, stdin=data)).ok:
            raise FileAccessError(f"{path}: could not be written")

    async def kill_all(self) -> None:
        """Nothing is killed in a machine that is somebody else's."""

    async def close(self) -> None:
        """It stays."""
