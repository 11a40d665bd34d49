"""The shared parts of a run: opened once per process and closed with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from agents import open_agent
from agents.base import Agent, BringsFiles
from agents.bash_agent import BashAgent
from agents.choose import open_chooser
from agents.llm import ModelConfig, open_model, share_servers
from agents.llm.base import ChatModel
from core.errors import InvalidOptions
from envs import Bench, spec_for
from envs.base import Env, MakesImages, PreparesOnce, Task
from envs.errors import SetupFailed
from heats.bank.checking import check_bank
from heats.config import HeatsConfig
from heats.context_rules import open_context_rule
from heats.policies.registry import POLICIES
from heats.runner.model_mix import main_model, playing_models
from heats.runner.oracle import NAME as ORACLE
from heats.runner.oracle import OracleAgent
from heats.runner.slices import slice_of
from heats.runner.slots import Slots
from heats.store.events import EventLog
from sandbox import open_backend
from sandbox.base import Sandbox, SandboxBackend, SandboxSpec
from sandbox.config import cache_directory
from sandbox.errors import BackendUnavailable
from sandbox.repo_tool import REPO_TOOL, repo_tool_directory
from tournament import open_selector
from tournament.base import Selector

Fetch = Callable[[Env, Collection[str], SandboxBackend], Awaitable[None]]
_WITH_SLICES = ("fixed", "first-verified")
"""Policies that do not ask how an attempt ended, which may be in a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts that tasks and rollouts work with.

    Attributes:
        models: the rollouts' models, by their configuration as JSON.
        slots: one slot for every sandbox that may work at the same time.
        facts: what the preflight found out about the models, for the manifest.
        draft_model: second model for step choosers.
        mounts: what the agent brings into the rollouts' sandboxes, host directory -> path inside.
        unmade: images that the env could not make, with the reasons.
    """

    run_id: str
    config: HeatsConfig
    env: Env
    backend: SandboxBackend
    agent: Agent
    models: Mapping[str, ChatModel]
    summarizer_model: ChatModel
    selector: Selector
    events: EventLog
    slots: Slots
    facts: Mapping[str, Any]
    mounts: Mapping[str, str] = field(default_factory=dict)
    unmade: dict[str, str] = field(default_factory=dict)
    draft_model: ChatModel | None = None

    def check_image(self, task: Task) -> None:
        """Check that the task's image exists.

        Raises:
            SetupFailed: it could not be made, so no attempt is possible.
        """
        if task.image in self.unmade:
            raise SetupFailed(self.unmade[task.image])

    def model_of(self, config: ModelConfig) -> ChatModel:
        """The open model for a rollout's policy."""
        return self.models[config.model_dump_json()]

    def tell_of_models(self) -> None:
        """Report, once, any peculiarities found in the models."""
        for model in self.models.values():
            notes: list[str] = getattr(getattr(model, "inner", None) or model, "notes", [])
            while notes:
                self.events.emit("warning", text=notes.pop(0))

    def spec(self, task: Task, rollout: str) -> SandboxSpec:
        """Specification of a rollout's sandbox, labelled so that left-overs can be found."""
        spec = spec_for(task, self._labels(rollout), self.config.sandbox.limits)
        return replace(spec, read_only_mounts={**spec.read_only_mounts, **self.mounts}) if self.mounts else spec

    def bench(self, rollout: str) -> Bench:
        """Where a rollout's patch is verified."""
        return Bench(
            backend=self.backend,
            limits=self.config.sandbox.limits,
            labels=self._labels(f"{rollout}/evidence"),
            rules=self.config.verify,
            spare=self.slots.spare,
        )

    def _labels(self, rollout: str) -> dict[str, str]:
        return {"run": self.run_id, "rollout": rollout}

    def seed(self, *scope: str | int) -> int:
        """A seed for one scope (task, heat, rollout ...), the same in every process of the run."""
        text = "/".join(str(part) for part in (self.config.seed, *scope))
        return int.from_bytes(sha256(text.encode()).digest()[:4], "big") >> 1


class NoSandboxes:
    """The backend for work that starts no sandbox."""

    name = "none"

    async def preflight(self, images: Collection[str]) -> None:
        """Do nothing: nothing is needed."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Always fail.

        Raises:
            BackendUnavailable
        """
        raise BackendUnavailable("this run was opened without sandboxes")

    async def reap(self) -> int:
        """Return 0: there are no left-overs."""
        return 0

    async def close(self) -> None:
        """Do nothing: nothing is open."""


@asynccontextmanager
async def open_services(
    run_id: str,
    config: HeatsConfig,
    env: Env,
    events: EventLog,
    *,
    images: Collection[str] | None,
    fetch: Fetch | None = None,
) -> AsyncIterator[Services]:
    """Open the backend and the models, check that they are usable, and close them at the end.

    Args:
        run_id: id of the run.
        config: the run's configuration.
        env: source of the tasks.
        events: the run's event log.
        images: images that the tasks need; None for work without sandboxes, for which no backend is opened.
        fetch: fetches missing images before they are checked.

    Raises:
        UsageError, UnknownPart, InvalidOptions, ModelConfigError, ModelUnavailable, BackendUnavailable, ImageMissing.
    """
    async with AsyncExitStack() as stack:
        oracle = config.agent.name == ORACLE
        agent: Agent = OracleAgent(env) if oracle else open_agent(config.agent.name, config.agent)
        opened, main = _open_models(config, stack), main_model(config)
        selector = open_selector(config.tournament, opened[(config.judge_model or main).model_dump_json()])
        _check_parts(config)
        facts = {model.name: dict(await model.preflight()) for model in opened.values()}
        backend = NoSandboxes() if images is None else await open_backend(config.sandbox)
        stack.push_async_callback(backend.close)
        if fetch is not None:
            await fetch(env, images or (), backend)
        unmade = dict(await env.make_images(images, backend)) if isinstance(env, MakesImages) and images else {}
        await backend.preflight(sorted(set(images or ()) - set(unmade)))
        await backend.reap()
        await _prepare_once(env, backend, config, events)
        yield Services(
            run_id=run_id,
            config=config,
            env=env,
            backend=backend,
            agent=agent,
            models=opened,
            summarizer_model=opened[(config.summarizer_model or main).model_dump_json()],
            draft_model=opened[config.draft_model.model_dump_json()] if config.draft_model else None,
            selector=selector,
            events=events,
            slots=Slots(config.at_once),
            facts=facts,
            mounts=await _mounts(config, agent) if images is not None else {},
            unmade=unmade,
        )


async def _mounts(config: HeatsConfig, agent: Agent) -> dict[str, str]:
    """What sandboxes see of this machine beside the task's own: parts of the agent, and the repository tool."""
    mounts = dict(await agent.mounts()) if isinstance(agent, BringsFiles) else {}
    if config.agent.repository_tool:
        mounts[str(await asyncio.to_thread(repo_tool_directory, cache_directory()))] = REPO_TOOL
    return mounts


def _open_models(config: HeatsConfig, stack: AsyncExitStack) -> dict[str, ChatModel]:
    """Each model once, by its configuration as JSON; closed with the stack."""
    main = main_model(config)
    playing = playing_models(config)
    drafting = [config.draft_model] if config.draft_model else []
    opened: dict[str, ChatModel] = {}
    routed = [main] if config.routing.votes or config.routing.summaries else []
    for one in (*playing, *drafting, *routed, config.summarizer_model or main, config.judge_model or main):
        if one.model_dump_json() not in opened:
            model = opened[one.model_dump_json()] = open_model(one, workers=config.at_once)
            stack.push_async_callback(model.close)
    share_servers(opened.values())
    return opened


def _check_parts(config: HeatsConfig) -> None:
    """Load parts that are needed only later, so that one that cannot be loaded costs nothing."""
    check_bank(config.bank)
    rule = open_context_rule(config.refine.context, config.refine.options)
    if getattr(rule, "branches", False) and config.agent.name != BashAgent.name:
        raise InvalidOptions(f"refine.context={config.refine.context} branches off rollouts of the agent bash only")
    whole = config.policy.name in POLICIES.known and config.policy.name not in _WITH_SLICES
    if slice_of(rule, 0, config) is not None and config.iterations > 1 and whole:
        raise InvalidOptions(
            f"refine.context={config.refine.context} plays attempts in slices, and policy.name={config.policy.name} "
            f"decides from whole attempts: use {' or '.join(_WITH_SLICES)}"
        )
    open_chooser(config.agent.chooser)
    if config.agent.repository_tool and config.sandbox.backend == "local":
        raise InvalidOptions("agent.repository_tool needs a sandbox that can mount files: use docker or bubblewrap")


async def _prepare_once(env: Env, backend: SandboxBackend, config: HeatsConfig, events: EventLog) -> None:
    if isinstance(env, PreparesOnce) and not isinstance(backend, NoSandboxes):
        for note in await env.prepare_once(backend, config.sandbox.limits):
            events.emit("warning", text=note)
