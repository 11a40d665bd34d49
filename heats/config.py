"""Configuration: frozen models, read from layers of YAML and `key=value` strings.

The preset `configs/default.yaml` is always the lowest layer; each file or string given with `-c` changes only the keys
it names. The model of each section belongs to its room.
"""

import copy
import difflib
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from agents.config import AgentConfig
from agents.llm import ModelConfig
from agents.llm.ledger import Limits
from core.errors import UnknownPart
from core.record import Config
from core.text import checked_template
from core.textfile import read_text
from envs import VerifyRules
from heats.bank.config import BankConfig
from heats.context_rules import CONTEXT_RULES
from heats.errors import UsageError
from heats.policies.registry import POLICIES
from heats.propose.config import ProposeConfig
from heats.retries import RetriesConfig
from heats.routing import RoutingConfig
from heats.store.files import there_is
from sandbox import SandboxConfig
from summarizer import SummarizerConfig
from tournament import TournamentConfig

WHERE_SERVED = {"base_url", "api_key_env", "cassette", "cassette_mode", "session", "max_concurrency", "gpu"}
IDENTITY_EXCLUDES: dict[str, Any] = {
    "workers": True,
    "keep_state": True,
    "propose": True,
    "min_free_disk_mb": True,
    "limits": True,
    "retries": True,
    "sandbox": {"daemon_wait_s", "prepared_dir"},
    "execution": {"base_cache"},
    "model": WHERE_SERVED,
    "models": {"__all__": WHERE_SERVED},
    "summarizer_model": WHERE_SERVED,
    "judge_model": WHERE_SERVED,
    "draft_model": WHERE_SERVED,
}
"""What may change between invocations of the same run: speed, budgets, and where the same model is served."""


_LEAST_WORKERS = 4


class RefineConfig(Config):
    """How a heat uses the previous one (PDR).

    Attributes:
        context: the context rule, which decides what each rollout is shown: `select-k` gives every rollout the K
            candidates that the tournament kept; docs/context-rules.md lists the others; or `module:Class`, your own.
        options: settings of the context rule: see "Settings of each context rule" in docs/keys.md; your own
            declares them as `Options`.
        roles: what context rules tell rollouts to do with what they are shown, by the rule's name for it.
        view: what rollouts see of these candidates: their summaries alone, or also how they did in the comparison,
            their changes (as text, and as files that apply), their test results, and why the others lost.
        chars: maximum characters of the whole context.
        change_chars: maximum characters of one change in it.
        fresh_share: share of a later heat's rollouts that get no context, so that a context of failures cannot drag
            down the whole heat; at least one rollout of two or more, unless the share is 0.
        keep_candidates: the kept candidates of earlier heats also play in the final tournament.
        stop_when_verified: play no further heat once a candidate is verified.
    """

    context: str = "select-k"
    options: Mapping[str, Any] = {}
    roles: Mapping[str, str] = {}
    view: Literal["summary", "summary+change+evidence"] = "summary+change+evidence"
    chars: int = Field(24_000, ge=1000)
    change_chars: int = Field(6000, ge=200)
    fresh_share: float = Field(0.25, ge=0, le=1)
    keep_candidates: bool = True
    stop_when_verified: bool = False

    @field_validator("context")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return CONTEXT_RULES.check(value)
        except UnknownPart as error:
            raise ValueError(str(error)) from None


class PolicyConfig(Config):
    """How many attempts are started, on which model, and when to stop.

    Attributes:
        name: `fixed` (N attempts in each of T heats), `first-verified`, `agreement`, `give-up`, `target`, `marginal`,
            `cascade`, `bandit`, `two-pass`, `conformal`, `prune`; or `module:Class`, your own policy.
        options: the policy's own settings: see "Settings of each policy" in docs/keys.md.
    """

    name: str = "fixed"
    options: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return POLICIES.check(value)
        except UnknownPart as error:
            raise ValueError(str(error)) from None


Switch = bool | Literal["auto"]


class ExecutionConfig(Config):
    """What executed evidence beside the task's own test command may use.

    Attributes:
        existing_s: seconds that one run of the project's own tests may take on the base; slow ones are left out.
        task_s: seconds of sandboxes for one task, over all heats and resumes; the highest evidence class comes first.
        sandboxes: for one task, likewise.
        rest_s: seconds of the rest of the project's tests that one run may take in addition, after those that concern
            the change; 0 leaves the rest out.
        base_cache: keep results of the project's tests on the base for other runs, by image, commit and command.
        test_writers: rollouts of the first heat that only write a test which fails on the base; they join
            cross-execution. Each costs about as much as any other rollout.
        test_writer: Jinja2 template of their task; receives `instruction`.
    """

    existing_s: float = Field(120.0, gt=0)
    task_s: float = Field(3600.0, gt=0)
    sandboxes: int = Field(500, ge=1)
    rest_s: float = Field(30.0, ge=0)
    base_cache: bool = True
    test_writers: int = Field(0, ge=0, le=16)
    test_writer: str = "{{ instruction }}"

    @field_validator("test_writer")
    @classmethod
    def _fits(cls, value: str) -> str:
        return checked_template(value, {"instruction"})


class LimitsConfig(Config):
    """Limits of the whole run, of each task and of each rollout."""

    run: Limits = Limits()
    task: Limits = Limits()
    rollout: Limits = Limits()


class WeightedModel(ModelConfig):
    """One model of a mix; unset fields are taken from `model`. `weight` is its share of a heat's rollouts."""

    weight: float = Field(1.0, gt=0)


class HeatsConfig(Config):
    """The complete configuration. N, K and T are here, G and V in `tournament`.

    Attributes:
        seed: what all random choices and the requests' seeds are derived from.
        rollouts: N, rollouts per heat; the most, if a policy starts fewer.
        iterations: T, heats; likewise.
        select_k: K, candidates kept as refinement context.
        evidence: run the user's tests on every candidate's patch; evidence then outranks votes.
        regression: run the project's own tests that pass on the base on every different patch; those that fail then
            count against it, within its evidence class and before votes. `auto`: where there is no test command.
        cross_execution: run the tests that each rollout wrote on every candidate's patch; they rank candidates of the
            same evidence class before votes. `auto`: where a heat has different patches of one evidence class.
        grade: after the selection, grade every rollout with the env's hidden tests, if there are any.
        workers: maximum number of sandboxes working at the same time. None means one for each processor, at least 4,
            and no more than `model.max_concurrency` allows.
        retries: additional attempts after infrastructure failures, by class of failure.
        models: a mix of models for a heat's rollouts; summaries and votes use `model`, or else the first of the mix.
        draft_model: writes turns for the step chooser `speculate`; like `model`, it calls tools, or neither does.
        temperatures: cycled over the rollouts of a heat, per model, in place of the model's own.
        allow_passing: continue if the tests already pass on the base commit.
        keep_state: for tasks that submit a state, keep the end state of sandboxes as images: the `winner`'s, or `all`.
        within_timeout: a task's agent time-out covers everything: rollouts, summaries, votes.
        select_share: with `within_timeout`, share of each heat's time reserved for summaries and votes.
        min_free_disk_mb: start no run while its directory's disk has less than this much free space, in MiB.
    """

    seed: int = 0
    rollouts: int = Field(4, ge=1, le=1024)
    iterations: int = Field(2, ge=1, le=16)
    select_k: int = Field(2, ge=1)
    workers: int | None = Field(None, ge=1)
    evidence: bool = True
    regression: Switch = "auto"
    cross_execution: Switch = "auto"
    execution: ExecutionConfig = ExecutionConfig()
    grade: bool = True
    retries: RetriesConfig = RetriesConfig()
    allow_passing: bool = False
    keep_state: Literal["none", "winner", "all"] = "none"
    within_timeout: bool = False
    select_share: float = Field(0.2, gt=0, lt=1)
    min_free_disk_mb: int = Field(512, ge=0)
    policy: PolicyConfig = PolicyConfig()
    refine: RefineConfig = RefineConfig()
    routing: RoutingConfig = RoutingConfig()
    limits: LimitsConfig = LimitsConfig()
    verify: VerifyRules = VerifyRules()
    model: ModelConfig | None = None
    models: tuple[WeightedModel, ...] = ()
    temperatures: tuple[Annotated[float, Field(ge=0)], ...] = ()
    summarizer_model: ModelConfig | None = None
    judge_model: ModelConfig | None = None
    draft_model: ModelConfig | None = None
    sandbox: SandboxConfig
    agent: AgentConfig
    summarizer: SummarizerConfig
    tournament: TournamentConfig
    bank: BankConfig
    propose: ProposeConfig = ProposeConfig()

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.iterations > 1 and self.select_k > self.rollouts:
            raise ValueError(f"select_k ({self.select_k}) is larger than rollouts ({self.rollouts})")
        if self.agent.chooser.name == "speculate" and self.draft_model is None:
            raise ValueError("agent.chooser speculate needs a second model: set draft_model.name")
        for kind, small in (("votes", self.judge_model), ("summaries", self.summarizer_model)):
            if getattr(self.routing, kind) and small is None:
                key = "judge_model" if kind == "votes" else "summarizer_model"
                raise ValueError(f"routing.{kind} needs a small model beside `model`: set {key}.name")
        return self

    @property
    def at_once(self) -> int:
        """Sandboxes at work at the same time."""
        if self.workers is not None:
            return self.workers
        most = max(_LEAST_WORKERS, os.cpu_count() or 1)
        if self.model is None or self.model.max_concurrency is None:
            return most
        return min(most, self.model.max_concurrency * max(1, len(self.model.base_urls)))

    def identity(self) -> dict[str, Any]:
        """The settings that affect results, for the run's manifest; no URLs, no key names."""
        found = self.model_dump(mode="json", exclude=IDENTITY_EXCLUDES)
        if self.tournament.judge.view != "probe":
            del found["tournament"]["judge"]["probe"]
        if not self.execution.test_writers:
            del found["execution"]["test_writers"], found["execution"]["test_writer"]
        if self.agent.chooser.name == "one":
            del found["agent"]["chooser"]
        if not self.agent.repository_tool:
            del found["agent"]["repository_tool"], found["agent"]["repository_prompt"]
        del found["bank"]["path"]
        if not (self.bank.readers or self.bank.writers):
            del found["bank"]
        if not (self.routing.votes or self.routing.summaries):
            del found["routing"]
        if self.policy == PolicyConfig():  # what runs of earlier versions did
            del found["policy"]
        return found


def load_config(
    layers: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    *,
    base: Mapping[str, Any] | None = None,
) -> HeatsConfig:
    """Merge `layers` over the default preset, then `overrides`.

    Args:
        layers: YAML files, names of presets (`paper`, `quick`) or `dotted.key=value` strings, lowest first.
        overrides: values by dotted key from command-line options; None values are ignored.
        base: settings of another run, as `HeatsConfig.identity` has them, right above the default preset.

    Raises:
        UsageError: an unreadable file, or an unknown key or value; names it and the nearest valid key.
    """
    merged = _read_yaml(preset("default"))
    _merge(merged, copy.deepcopy(dict(base or {})))
    for layer in layers:
        _merge(merged, _read_layer(layer))
    for key, value in (overrides or {}).items():
        if value is not None:
            _merge(merged, _nest(key, value))
    try:
        return HeatsConfig.model_validate(merged)
    except ValidationError as error:
        raise UsageError(_explain(error)) from None


def dump_config(config: HeatsConfig) -> str:
    """The resolved configuration as YAML, for `--print-config`."""
    data = config.model_dump(mode="json")
    return yaml.dump(data, sort_keys=False, allow_unicode=True, width=120, Dumper=_BlockDumper)


def preset(name: str) -> Path:
    """Path of a preset that ships with heats."""
    return Path(str(resources.files("configs"))) / f"{name}.yaml"


def presets() -> tuple[str, ...]:
    """Names of the presets that ship with heats."""
    return tuple(sorted(path.stem for path in preset("default").parent.glob("*.yaml")))


class _BlockDumper(yaml.SafeDumper):
    """Dumps prompts as readable blocks."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_BlockDumper.add_representer(str, _BlockDumper.represent_str)


def _read_layer(layer: str) -> dict[str, Any]:
    if "=" in layer and not there_is(layer):
        key, _, value = layer.partition("=")
        try:
            return _nest(key.strip(), yaml.safe_load(value))
        except yaml.YAMLError:
            raise UsageError(f"-c {layer}: the value is not valid YAML") from None
    if layer in presets():
        return _read_yaml(preset(layer))
    return _read_yaml(Path(layer))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_text(path))
    except OSError as error:
        known = ", ".join(presets())
        raise UsageError(f"-c {path}: {error.strerror or error}; presets are {known}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"-c {path}: not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"-c {path}: expected keys and values at the top level")
    return content


def _nest(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _merge(base: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), _keys_beside(first["loc"]), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; --print-config lists all keys"
        return f"configuration: unknown key {where}{hint}{more}"
    message = first["msg"].removeprefix("Value error, ")
    return f"configuration: {where + ': ' if where else ''}{message}{more}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = HeatsConfig
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        options = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        nested = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)
