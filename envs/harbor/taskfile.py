"""Parse `task.toml`, schema 1.x: the tables that heats uses, and the features it does not support."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import first_problem
from envs.errors import TaskError

NetworkMode = Literal["public", "no-network", "allowlist"]
_TEMPLATE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*$", re.IGNORECASE)
_IN_MB: Mapping[str, float] = {"": 1 / (1 << 20), "k": 1 / 1024, "m": 1, "g": 1024, "t": 1 << 20}


class _Table(BaseModel):
    """A table of the file; unknown keys are ignored, as Harbor does."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Healthcheck(_Table):
    """A health check like Docker's HEALTHCHECK; times in seconds."""

    command: str
    interval_sec: float = Field(5.0, ge=0)
    timeout_sec: float = Field(30.0, gt=0)
    start_period_sec: float = Field(0.0, ge=0)
    start_interval_sec: float = Field(5.0, ge=0)
    retries: int = Field(3, ge=1)


class Named(_Table):
    """`[task]`."""

    name: str = ""


class AgentTable(_Table):
    """`[agent]`: the phase in which the agent works."""

    timeout_sec: float | None = Field(None, gt=0)
    user: str | int | None = None
    network_mode: NetworkMode | None = None


class VerifierTable(_Table):
    """`[verifier]`: the phase in which the state is graded."""

    timeout_sec: float = Field(600.0, gt=0)
    env: Mapping[str, str] = {}
    user: str | int | None = None
    network_mode: NetworkMode | None = None
    environment_mode: Literal["shared", "separate"] | None = None
    environment: Mapping[str, Any] | None = None


class EnvironmentTable(_Table):
    """`[environment]`: the machine. `memory` and `allow_internet` are old names of two keys."""

    build_timeout_sec: float = Field(600.0, gt=0)
    docker_image: str | None = None
    os: str = "linux"
    cpus: float | None = Field(None, gt=0)
    memory_mb: int | None = Field(None, gt=0)
    gpus: int = 0
    tpu: Mapping[str, Any] | None = None
    env: Mapping[str, str] = {}
    healthcheck: Healthcheck | None = None
    workdir: str | None = None
    network_mode: NetworkMode | None = None

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if "memory_mb" not in data and "memory" in data:
            data["memory_mb"] = _megabytes(data["memory"])
        if "network_mode" not in data and "allow_internet" in data:
            data["network_mode"] = "public" if data["allow_internet"] else "no-network"
        return data


class SolutionTable(_Table):
    """`[solution]`: environment of the reference solution."""

    env: Mapping[str, str] = {}


class TaskFile(_Table):
    """A whole `task.toml`."""

    schema_version: str = "1.4"
    task: Named = Named()
    metadata: Mapping[str, Any] = {}
    agent: AgentTable = AgentTable()
    verifier: VerifierTable = VerifierTable()
    environment: EnvironmentTable = EnvironmentTable()
    solution: SolutionTable = SolutionTable()
    steps: tuple[Any, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _old_version(cls, data: Any) -> Any:
        if isinstance(data, dict) and "version" in data:
            return {"schema_version": str(data["version"]), **data}
        return data

    @property
    def network_mode(self) -> NetworkMode:
        """Network mode that the task wants for the agent's phase."""
        return self.agent.network_mode or self.environment.network_mode or "public"

    def unsupported(self) -> Iterator[str]:
        """Features this task needs and heats lacks, one line each."""
        if self.schema_version.split(".")[0] != "1":
            yield f"schema_version {self.schema_version} (1.x is known)"
        if self.steps:
            yield "several steps"
        if self.environment.os != "linux":
            yield f"os {self.environment.os}"
        if self.environment.gpus or self.environment.tpu:
            yield "GPUs or TPUs"
        if self.verifier.environment_mode == "separate" or self.verifier.environment:
            yield "a verifier in a separate environment"
        modes = {self.network_mode, self.verifier.network_mode or self.network_mode}
        if "allowlist" in modes:
            yield "network_mode allowlist"
        if len(modes) > 1:
            yield "another network for the verifier than for the agent"


def read_task_file(text: str) -> TaskFile:
    """Parse `task.toml`.

    Raises:
        TaskError: not TOML, or invalid values.
    """
    try:
        return TaskFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"task.toml is not valid TOML: {error}") from None
    except ValidationError as error:
        raise TaskError(f"task.toml: {first_problem(error)}") from None


def resolved(env: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Environment values with `${NAME}` and `${NAME:-default}` filled in from the user's values.

    The environment of heats itself is never read: a task's file must not be able to obtain a user's key by naming it.

    Raises:
        TaskError: a name has no value.
    """
    found = [match for value in env.values() for match in _TEMPLATE.finditer(value)]
    missing = sorted({match[1] for match in found if match[2] is None and match[1] not in given})
    if missing:
        example = ", ".join(f"{name}: ..." for name in missing)
        raise TaskError(f"the task needs values for {', '.join(missing)}: -O 'env_values={{{example}}}' gives them")
    return {key: _TEMPLATE.sub(lambda match: given.get(match[1], match[2] or ""), value) for key, value in env.items()}


def _megabytes(size: Any) -> Any:
    match = _SIZE.match(str(size))
    return max(1, round(float(match[1]) * _IN_MB[match[2].lower()])) if match else size
