"""Harbor's machine as seen by heats: copied as an image, or used directly."""

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
    """An image made from a running container, with the container's configuration."""

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
            # A network shared with another container, such as a proxy, cannot be joined by copies.
            network="none" if mode == "none" or mode.startswith("container:") else "bridge",
            submission="state",
            machine=machine,
            agent_timeout_s=timeout_s,
        )


async def copy_machine(backend: DockerBackend, container: str) -> Copied:
    """Commit a running container to an image.

    Raises:
        SandboxError: the daemon does not know the container, or cannot copy it.
    """
    image = f"heats-state/harbor-{secrets.token_hex(4)}:start"
    about = await copy_of(backend, container, image)
    return Copied(image, about["Config"], about["HostConfig"])


class EnvironmentSandbox:
    """Harbor's environment as a `Sandbox`; closing it leaves the environment as it is."""

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
        """See `Sandbox.exec`; Harbor enforces the time-out, and no exit code is trusted.

        Args:
            command: shell command.
            timeout: time limit in seconds, rounded to whole seconds.
            cwd: working directory.
            env: additional environment variables.
            stdin: standard input, passed through the command line.
            merge_stderr: ignored.
            trusted_exit: ignored.
        """
        if stdin is not None:
            command = f"printf %s {shlex.quote(b64encode(stdin).decode())} | base64 -d | {{ {command}\n}}"
        try:
            given = {"cwd": cwd, "env": dict(env or {}) or None, "timeout_sec": max(1, round(timeout))}
            done = await self._environment.exec(command=command, **given)
        except TimeoutError:
            return ExecResult("timeout", None, b"")
        except RuntimeError as error:  # raised by Harbor's environments on a time-out
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
        """See `Sandbox.write_file`.

        Args:
            path: absolute path; its parent directories are created.
            data: contents.
            mode: permission bits.

        Raises:
            FileAccessError: the file could not be written.
        """
        target = shlex.quote(path)
        script = f'mkdir -p -- "$(dirname -- {target})"; cat >{target} && chmod {mode:o} {target}'
        if not (await self.exec(script, timeout=120, stdin=data)).ok:
            raise FileAccessError(f"{path}: could not be written")

    async def kill_all(self) -> None:
        """Do nothing: the machine is not ours."""

    async def close(self) -> None:
        """Do nothing: the machine stays."""
