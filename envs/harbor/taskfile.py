"""Parse `task.toml`, schema 1.x: the tables that heats uses, and the features it does not support."""

import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from core.errors import first_problem
from envs.errors import TaskError

NetworkMode = Literal["public", "no-network", "allowlist"]
_TEMPLATE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*$", re.IGNORECASE)
_IN_MB: Mapping[str, float] = {"": 1 / (1 << 20), "k": 1 / 1024, "m": 1, "g": 1024, "t": 1 << 20}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PUBLISHED = "/logs/artifacts"
_MAIN = "main"


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What a phase may reach; `hosts` is empty unless the mode is `allowlist`."""

    mode: NetworkMode
    hosts: tuple[str, ...] = ()


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


def _host(entry: str) -> str:
    """An entry of a list of hosts in its plain form: a host name, `*.` and a host name, an address, or a range."""
    host = entry.strip().lower().rstrip(".")
    name = host.removeprefix("*.")
    try:
        return str(ip_network(host, strict=True) if "/" in host else ip_address(host))
    except ValueError:
        pass
    is_address = name != host and re.fullmatch(r"[0-9.]+", name)
    if is_address or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"{entry!r} is not a host name, *.NAME, an address or a range of addresses")
    return host


Hosts = tuple[Annotated[str, AfterValidator(_host)], ...]


class _Networked(_Table):
    """A table with a network policy."""

    network_mode: NetworkMode | None = None
    allowed_hosts: Hosts | None = None

    @model_validator(mode="after")
    def _hosts_of_an_allowlist(self) -> "_Networked":
        if self.allowed_hosts and self.network_mode != "allowlist":
            raise ValueError('allowed_hosts needs network_mode = "allowlist"')
        return self

    @property
    def policy(self) -> NetworkPolicy | None:
        """The policy; None if the table names none."""
        return NetworkPolicy(self.network_mode, self.allowed_hosts or ()) if self.network_mode else None


class AgentTable(_Networked):
    """`[agent]`: the phase in which the agent works."""

    timeout_sec: float | None = Field(None, gt=0)
    user: str | int | None = None


class CollectHook(_Table):
    """`[[verifier.collect]]`: a command that runs where the agent worked, before anything is graded."""

    command: str
    service: str = _MAIN
    timeout_sec: float = Field(60.0, gt=0)
    user: str | int | None = None


class Artifact(_Table):
    """An entry of `artifacts`: a path that a separate verifier finds where the agent left it.

    Attributes:
        destination: where Harbor keeps it on the host, relative to its folder of artifacts.
        exclude: patterns of `tar --exclude`, for directories.
    """

    source: str
    destination: str | None = None
    exclude: tuple[str, ...] = ()
    service: str | None = None

    @model_validator(mode="after")
    def _stays_inside(self) -> "Artifact":
        destination = self.destination or ""
        if ".." in (*self.source.split("/"), *destination.split("/")) or destination.startswith("/"):
            raise ValueError(f"artifact {self.source}: paths may not contain .., and a destination is relative")
        return self

    @property
    def kept_at(self) -> str:
        """Its place among the artifacts, which decides between entries that overlap."""
        return posixpath.normpath((self.destination or self.source).lstrip("/") or ".")


def _artifact(entry: Any) -> Any:
    return {"source": entry} if isinstance(entry, str) else entry


Artifacts = tuple[Annotated[Artifact, BeforeValidator(_artifact)], ...]


class EnvironmentTable(_Networked):
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


class VerifierTable(_Networked):
    """`[verifier]`: the phase in which the attempt is graded."""

    timeout_sec: float = Field(600.0, gt=0)
    env: Mapping[str, str] = {}
    user: str | int | None = None
    environment_mode: Literal["shared", "separate"] | None = None
    environment: EnvironmentTable | None = None
    collect: tuple[CollectHook, ...] = ()

    @model_validator(mode="after")
    def _one_place(self) -> "VerifierTable":
        if self.environment_mode == "shared" and self.environment is not None:
            raise ValueError('environment_mode = "shared" contradicts [verifier.environment]')
        return self

    @property
    def separate(self) -> bool:
        """Whether the verifier runs in a container of its own."""
        return self.environment_mode == "separate" or self.environment is not None


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
    artifacts: Artifacts = ()
    steps: tuple[Any, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _old_version(cls, data: Any) -> Any:
        if isinstance(data, dict) and "version" in data:
            return {"schema_version": str(data["version"]), **data}
        return data

    @property
    def agent_network(self) -> NetworkPolicy:
        """Network that the task wants for the agent."""
        return self.agent.policy or self.environment.policy or NetworkPolicy("public")

    @property
    def verifier_network(self) -> NetworkPolicy:
        """Network that the task wants for the verifier."""
        machine = (self.verifier.environment or self.environment) if self.verifier.separate else self.environment
        return self.verifier.policy or machine.policy or NetworkPolicy("public")

    def carried(self) -> tuple[Artifact, ...]:
        """What a separate verifier gets, `/logs/artifacts` first; of entries that overlap, the first counts."""
        published = any(one.source.rstrip("/") == _PUBLISHED for one in self.artifacts)
        taken: list[Artifact] = []
        for one in (*(() if published else (Artifact(source=_PUBLISHED),)), *self.artifacts):
            if not any(_overlap(one.kept_at, other.kept_at) for other in taken):
                taken.append(one)
        return tuple(taken)

    def unsupported(self) -> Iterator[str]:
        """Features this task needs and heats lacks, one line each."""
        if self.schema_version.split(".")[0] != "1":
            yield f"schema_version {self.schema_version} (1.x is known)"
        if self.steps:
            yield f"several steps ({len(self.steps)}): heats grades an attempt once, at its end"
        for where, machine in (("", self.environment), ("the verifier's ", self.verifier.environment)):
            if machine is not None and machine.os.lower() != "linux":
                yield f"{where}os {machine.os}"
            if machine is not None and (machine.gpus or machine.tpu):
                yield f"{where}GPUs or TPUs"
        services = {one.service for one in self.artifacts} | {hook.service for hook in self.verifier.collect}
        if others := sorted(str(one) for one in services - {None, _MAIN}):
            yield f"services of a compose file: {', '.join(others)}"
        for one in self.artifacts:
            if not one.source.startswith("/"):
                yield f"artifact {one.source}: not an absolute path"

    def unswitchable(self) -> bool:
        """Whether verifier and agent share a container whose network would have to change in between."""
        modes = {self.agent_network.mode, self.verifier_network.mode}
        return not self.verifier.separate and len(modes) > 1 and "public" in modes


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/") or "." in (one, other)


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
