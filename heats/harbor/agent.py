"""heats as a Harbor agent: `harbor run -a heats.harbor:HeatsAgent -m MODEL ...` (Harbor needs Python 3.12).

Harbor's machine is copied as an image, the rollouts work on copies of it, and the winner's changes are applied to
Harbor's machine. If that machine is not a container of a Docker daemon reachable from here, one rollout works in it
directly. Copies do not include running processes: a service that only the winner started is not running afterwards.
"""

import importlib
import json
import logging
import re
import secrets
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from agents import Assignment, open_agent
from agents.atif import to_atif
from agents.llm import open_model
from agents.llm.ledger import Ledger, Usage
from agents.trajectory import Trajectory
from core.ids import RolloutId
from envs.base import Task
from envs.harbor.copied import CopiedEnv, pack, unpack_command
from heats.config import load_config
from heats.harbor.machine import Copied, EnvironmentSandbox, copy_machine
from heats.runner.model_mix import main_model
from heats.runner.run import RunRequest, play
from heats.runner.snapshots import state_image
from heats.store.store import RunStore
from sandbox import SandboxConfig
from sandbox.base import Sandbox, SandboxSpec
from sandbox.docker import DockerBackend
from sandbox.errors import SandboxError
from sandbox.images import Images

_log = logging.getLogger(__name__)
_IDENTITY = "grep -o 'containers/[0-9a-f]\\{64\\}' /proc/self/mountinfo | head -n 1"
_ARCHIVE = "/tmp/heats-state.tar"  # noqa: S108 - in Harbor's machine


def _base() -> type[Any]:
    try:
        found: type[Any] = importlib.import_module("harbor.agents.base").BaseAgent
    except ImportError:
        return object
    return found


class HeatsAgent(_base()):  # type: ignore[misc]
    """A Harbor agent. Agent arguments (`--ak key=value`) are keys of heats' configuration.

    There are two additional arguments: `config`, a preset or file to use as the lowest layer, and `timeout_sec`, the
    time-out of Harbor's agent phase, within which everything is then done.
    """

    def __init__(self, logs_dir: Path, model_name: str | None = None, **given: Any) -> None:
        theirs = {key: given.pop(key) for key in [*given] if key in _HARBORS_OWN}
        if type(self).__mro__[1] is not object:
            super().__init__(logs_dir, model_name, **theirs)
        self.logs_dir = Path(logs_dir)
        self.model_name = model_name
        self._timeout_s = float(given.pop("timeout_sec")) if "timeout_sec" in given else None
        layers = [str(given.pop("config"))] if "config" in given else []
        # Trials of a task must not repeat the same run, so each gets a different seed unless a seed is given.
        keys = {"model.name": model_name, "seed": secrets.randbits(31), "iterations": 1, "grade": False} | given
        self._config = load_config(
            layers, {**keys, "keep_state": "winner", "within_timeout": self._timeout_s is not None}
        )

    @staticmethod
    def name() -> str:
        """The agent's name in results."""
        return "heats"

    def version(self) -> str:
        """The version of heats."""
        return metadata.version("heats")

    async def setup(self, environment: Any) -> None:
        """Do nothing: nothing is installed in Harbor's machine."""

    async def run(self, instruction: str, environment: Any, context: Any) -> None:
        """Play the rollouts and leave the winner's end state in the environment.

        Args:
            instruction: the task's statement.
            environment: Harbor's environment.
            context: Harbor's agent context, filled in with the results.

        Raises:
            HeatsError, SandboxError: nothing could be played.
        """
        backend, copied = await self._copy(environment)
        try:
            if backend is None or copied is None:
                await self._in_place(instruction, environment, context)
                return
            await self._on_copies(instruction, environment, context, backend, copied)
        finally:
            if backend is not None:
                if copied is not None:
                    await self._remove_images(backend, copied)
                await backend.close()

    async def _remove_images(self, backend: DockerBackend, copied: Copied) -> None:
        """Remove the copy and the rollouts' images, even if Harbor's time is up and this is being cancelled."""
        images = Images.of(backend)
        for directory in self.logs_dir.glob("heats-*"):
            ours = state_image(directory.name, "harbor", "x").partition(":")[0]
            for kept in await images.made("state"):
                if kept.name.startswith(f"{ours}:"):
                    await images.remove(kept.name)
        await images.remove(copied.image)

    async def _copy(self, environment: Any) -> tuple[DockerBackend | None, Copied | None]:
        """The Docker daemon and a copy of Harbor's machine on it, if both are available."""
        try:
            backend = await DockerBackend.open(self._config.sandbox.model_copy(update={"backend": "docker"}))
        except SandboxError as error:
            _log.info("no Docker here: %s", error)
            return None, None
        try:
            asked = await environment.exec(command=_IDENTITY)
            found = re.search(r"[0-9a-f]{64}", asked.stdout or "")
            return backend, await copy_machine(backend, found.group()) if found else None
        except SandboxError as error:
            _log.info("Harbor's machine is not on this Docker daemon: %s", error)
            return backend, None
        except BaseException:
            await backend.close()
            raise

    async def _on_copies(
        self, instruction: str, environment: Any, context: Any, backend: DockerBackend, copied: Copied
    ) -> None:
        task = copied.task(instruction, self._timeout_s)
        env = CopiedEnv(task)
        # Its name is the run's name; concurrent trials must not share image names.
        directory = self.logs_dir / f"heats-{secrets.token_hex(4)}"
        ledger = Ledger("run", self._config.limits.run)
        config = self._config.model_copy(update={"sandbox": _on_docker(self._config.sandbox)})
        request = RunRequest(command="harbor", directory=directory, config=config, env=env, ledger=ledger)
        try:
            (result,) = await play(request)
        finally:
            _tell(context, ledger.spent, {})
        store = RunStore(directory)
        if result.selected is None:
            _tell(context, ledger.spent, {"heats": result.status, "detail": result.detail})
            return
        changed = env.changes(result.selected)
        image = result.state_image or state_image(store.manifest.run_id, task.id, result.selected)
        if changed.copy or changed.remove:
            await self._put_back(environment, backend, image, task, changed.copy, changed.remove)
        winner = store.task(task.id).rollout(result.selected).trajectory()
        if winner is not None:
            self._keep(winner)
        _tell(context, ledger.spent, {"heats": result.status, "selected": result.selected})

    async def _put_back(
        self,
        environment: Any,
        backend: DockerBackend,
        image: str,
        task: Task,
        copy: tuple[str, ...],
        remove: tuple[str, ...],
    ) -> None:
        spec = SandboxSpec(image=image, workdir=task.workdir, user="root", profile="machine")
        sandbox = await backend.start(spec)
        try:
            data = await pack(sandbox, copy)
        finally:
            await sandbox.close()
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            file.write(data)
            file.flush()
            await environment.upload_file(Path(file.name), _ARCHIVE)
        done = await environment.exec(command=unpack_command(_ARCHIVE, remove), user="root")
        if done.return_code != 0:
            raise SandboxError(f"the winner's state could not be restored: {(done.stderr or done.stdout or '')[-300:]}")

    async def _in_place(self, instruction: str, environment: Any, context: Any) -> None:
        """Play one rollout in Harbor's own machine."""
        config, ledger = self._config, Ledger("run", self._config.limits.run)
        model = open_model(main_model(config))
        agent = open_agent(config.agent.name, config.agent)
        sandbox: Sandbox = EnvironmentSandbox(environment)
        try:
            workdir = (await sandbox.exec("pwd", timeout=60)).text().strip()
            told = Assignment(
                rollout_id=str(RolloutId(0, 0)),
                task_id="harbor",
                instruction=instruction,
                workdir=workdir,
                seed=config.seed,
            )
            self._keep(await agent.run(told, sandbox, model, ledger, self._keep))
        finally:
            _tell(context, ledger.spent, {"heats": "one rollout in place"})
            await model.close()

    def _keep(self, trajectory: Trajectory) -> None:
        """Write the trajectory where Harbor looks for it."""
        if trajectory.steps:
            self.logs_dir.mkdir(parents=True, exist_ok=True)
            text = json.dumps(to_atif(trajectory), ensure_ascii=False)
            (self.logs_dir / "trajectory.json").write_text(text, encoding="utf-8", errors="replace")


_HARBORS_OWN = frozenset(
    {
        "logger",
        "mcp_servers",
        "skills_dir",
        "extra_env",
        "base_url",
        "model_api_key_name",
        "model_api_format",
        "skip_model_parsing",
        "load_trajectory",
        "environment_logs_dir",
        "override_setup_timeout_sec",
    }
)
"""Arguments that Harbor itself passes to agents."""


def _on_docker(config: SandboxConfig) -> SandboxConfig:
    return config.model_copy(update={"backend": "docker"})


def _tell(context: Any, spent: Usage, more: Mapping[str, Any]) -> None:
    """Fill in Harbor's context."""
    context.n_input_tokens = spent.prompt_tokens
    context.n_cache_tokens = spent.cached_tokens
    context.n_output_tokens = spent.completion_tokens
    context.cost_usd = spent.cost_usd
    if more:
        context.metadata = {**(context.metadata or {}), **more}
