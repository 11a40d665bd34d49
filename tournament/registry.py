"""Selectors by name."""

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from agents.llm.base import ChatModel
from tournament.base import Selector
from tournament.baselines import FirstFinishSelector, MajoritySelector, RandomSelector
from tournament.config import TournamentConfig
from tournament.errors import UnknownSelector
from tournament.judge import ModelJudge
from tournament.rtv import AdaptiveSelector, RTVSelector
from tournament.scored import PointwiseSelector, VerifySelector
from tournament.swiss import SwissSelector

Factory = Callable[[TournamentConfig, ChatModel], Selector]

SELECTORS: Mapping[str, Factory] = MappingProxyType(
    {
        "rtv": lambda config, model: RTVSelector(config, ModelJudge(config, model)),
        "adaptive": lambda config, model: AdaptiveSelector(config, ModelJudge(config, model)),
        "swiss": lambda config, model: SwissSelector(config, ModelJudge(config, model)),
        "pointwise": PointwiseSelector,
        "verify": VerifySelector,
        "random": lambda config, model: RandomSelector(),
        "first-finish": lambda config, model: FirstFinishSelector(),
        "majority": lambda config, model: MajoritySelector(),
    }
)


def open_selector(config: TournamentConfig, model: ChatModel) -> Selector:
    """The selector that `config.selector` names: one of `SELECTORS`, or `module:Factory`, called alike.

    Raises:
        UnknownSelector: no such name, module or attribute.
    """
    name = config.selector
    if name in SELECTORS:
        return SELECTORS[name](config, model)
    module, _, attribute = name.partition(":")
    if not attribute:
        raise UnknownSelector(f"unknown selector {name!r}; known: {', '.join(SELECTORS)}, or module:Factory")
    try:
        factory: Factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownSelector(f"selector {name!r} cannot be loaded: {error}") from error
    return factory(config, model)
