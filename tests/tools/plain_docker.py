"""An environment for harbor over plain docker commands, for machines without docker compose. There is no network.

Harbor's Python (3.12) imports it: `environment.import_path` is `tests.tools.plain_docker:PlainDocker`.
"""

import asyncio
import hashlib
import os
from pathlib import Path

from harbor.environments.base import BaseEnvironment, ExecResult  # type: ignore[import-not-found]
from harbor.environments.capabilities import EnvironmentCapabilities  # type: ignore[import-not-found]

_SOCKET = "unix:///var/run/docker.sock"
"""By name, so that what runs beside it in harbor can be kept from the daemon with DOCKER_HOST."""


class PlainDocker(BaseEnvironment):  # type: ignore[misc]
    """One container of the task's image."""

    @staticmethod
    def type() -> str:
        """The environment's type."""
        return "plain-docker"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        """What it can do: run without a network."""
        return EnvironmentCapabilities(disable_internet=True)

    def _validate_definition(self) -> None:
        if not self.task_env_config.docker_image and not (self.environment_dir / "Dockerfile").is_file():
            raise FileNotFoundError(f"no Dockerfile in {self.environment_dir}")

    @property
    def _name(self) -> str:
        return "harbor-" + hashlib.sha256(self.session_id.encode()).hexdigest()[:16]

    async def start(self, force_build: bool) -> None:
        """Build the image and start a container that does nothing."""
        image = self.task_env_config.docker_image
        if not image:
            image = f"harbor-plain:{hashlib.sha256(str(self.environment_dir).encode()).hexdigest()[:16]}"
            await self._docker("build", "-q", "-t", image, str(self.environment_dir))
        asked = self.task_env_config
        limits = [f"--cpus={asked.cpus}"] if asked.cpus else []
        limits += [f"--memory={asked.memory_mb}m"] if asked.memory_mb else []
        env = [f"--env={key}={value}" for key, value in asked.env.items()]
        idle = ("--entrypoint", "sleep", image, "infinity")
        await self._docker("run", "-d", "--init", "--network=none", "--name", self._name, *limits, *env, *idle)
        folders = "/logs/agent /logs/verifier /logs/artifacts"
        await self.exec(f"mkdir -p {folders} && chmod 1777 {folders}", cwd="/", user="root")

    async def stop(self, delete: bool) -> None:
        """Remove the container."""
        await self._docker("rm", "-f", self._name)

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Run a command in the container; see harbor's `BaseEnvironment.exec`."""
        who, where = self._resolve_user(user), cwd or self.task_env_config.workdir
        options = [f"--user={who}"] if who is not None else []
        options += [f"--workdir={where}"] if where else []
        options += [f"--env={key}={value}" for key, value in (self._merge_env(env) or {}).items()]
        try:
            async with asyncio.timeout(timeout_sec):
                code, out, err = await self._run("exec", *options, self._name, "bash", "-c", command)
        except TimeoutError:
            raise RuntimeError(f"Command timed out after {timeout_sec} seconds") from None
        return ExecResult(stdout=out, stderr=err, return_code=code)

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        """Copy a file into the container."""
        await self._docker("cp", str(source_path), f"{self._name}:{target_path}")

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        """Copy the content of a directory into the container."""
        await self.exec(f"mkdir -p '{target_dir}'", cwd="/", user="root")
        await self._docker("cp", f"{source_dir}/.", f"{self._name}:{target_dir}")

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        """Copy a file out of the container."""
        await self._docker("cp", f"{self._name}:{source_path}", str(target_path))

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        """Copy the content of a directory out of the container."""
        Path(target_dir).mkdir(parents=True, exist_ok=True)
        await self._docker("cp", f"{self._name}:{source_dir}/.", str(target_dir))

    async def _docker(self, *arguments: str) -> str:
        code, out, err = await self._run(*arguments)
        if code:
            raise RuntimeError(f"docker {arguments[0]}: {err.strip()[-300:]}")
        return out

    async def _run(self, *arguments: str) -> tuple[int, str, str]:
        pipe = asyncio.subprocess.PIPE
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        process = await asyncio.create_subprocess_exec(
            "docker", "-H", _SOCKET, *arguments, stdout=pipe, stderr=pipe, env=environment
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        return process.returncode or 0, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
