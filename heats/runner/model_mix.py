"""The model and temperature of each rollout in a heat: deliberate diversity, the same in every process."""

from collections import Counter
from dataclasses import dataclass

from agents.llm import ModelConfig
from agents.llm.base import Sampling
from heats.config import HeatsConfig, WeightedModel
from heats.errors import UsageError


@dataclass(frozen=True, slots=True)
class Policy:
    """Model and temperature of one rollout."""

    model: ModelConfig
    temperature: float | None

    def sampling(self, seed: int) -> Sampling:
        """The sampling parameters of the rollout's requests."""
        model = self.model
        return Sampling(temperature=self.temperature, top_p=model.top_p, max_tokens=model.max_tokens, seed=seed)


def main_model(config: HeatsConfig) -> ModelConfig:
    """The model for summaries and votes, and for every rollout if there is no mix.

    Raises:
        UsageError: no model is configured.
    """
    if config.model is None and not config.models:
        raise UsageError(
            "no model given: use --model NAME --base-url URL, or --model builtin:repair to try heats without a server"
        )
    return config.model or _complete(config.models[0], None)


def policy_of(config: HeatsConfig, index: int, arm: int | None = None, temperature: float | None = None) -> Policy:
    """The policy of the rollout with this number in its heat.

    Any first rollouts of a heat use the models in proportion to their weights, as closely as whole rollouts can. Each
    model cycles through the temperatures on its own, so that no model is tied to one of them.

    Args:
        config: the run's configuration.
        index: number of the rollout in its heat.
        arm: index of the model in the mix, if an allocation policy chose it.
        temperature: the temperature, likewise.

    Raises:
        UsageError: no model is configured.
    """
    main = main_model(config)
    weights = [one.weight for one in config.models] or [1.0]
    turns: Counter[int] = Counter()
    for rollouts in range(1, index + 2):
        shares = [weight * rollouts / sum(weights) - turns[at] for at, weight in enumerate(weights)]
        now = shares.index(max(shares))
        turns[now] += 1
    now = now if arm is None or not config.models else arm
    model = _complete(config.models[now], config.model) if config.models else main
    schedule = config.temperatures
    turn = turns[now] - 1 if arm is None else index
    usual = schedule[turn % len(schedule)] if schedule else model.temperature
    return Policy(model, usual if temperature is None else temperature)


def playing_models(config: HeatsConfig) -> list[ModelConfig]:
    """The models that rollouts may use: those of a whole heat, and all of the mix if a policy chooses among them."""
    models = [policy_of(config, index).model for index in range(config.rollouts)]
    if config.policy.name != "fixed":
        models += [policy_of(config, 0, arm).model for arm in range(len(config.models))]
    return models


def sameness(config: HeatsConfig) -> str:
    """A warning if several rollouts of a heat use greedy decoding with the same model; else empty."""
    if config.model is None and not config.models:
        return ""
    policies = [policy_of(config, index) for index in range(config.rollouts)]
    greedy = Counter(one.model.model_dump_json() for one in policies if one.temperature == 0 and _samples(one.model))
    most = max(greedy.values(), default=0)
    if most < 2:
        return ""
    return (
        f"{most} of {config.rollouts} rollouts of a heat use the same model at temperature 0 and may all do the same: "
        "raise model.temperature, or set temperatures"
    )


def _samples(model: ModelConfig) -> bool:
    return not model.name.startswith(("builtin:", "fake:"))


def _complete(one: WeightedModel, base: ModelConfig | None) -> ModelConfig:
    """A model of the mix, with unset fields taken from `model`."""
    own = one.model_dump(exclude_unset=True, exclude={"weight"})
    return ModelConfig.model_validate((base.model_dump(exclude_unset=True) if base else {}) | own)
