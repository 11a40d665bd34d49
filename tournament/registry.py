"""Selectors by name.

A selector is made with the tournament's configuration and a chat model: by the class method `open(config, model)` where
it has one, else by `Class(config, model)`. Two attributes of the class are read before:

- `needs_model = False` says that it asks no model, and needs neither a configured one nor the text of the issue;
- `Options`, a `core.record.Config`, declares settings of its own. They are read from `tournament.options` and given to
  it as the keyword argument `options`.
"""

from agents.llm.base import ChatModel
from core.registry import Registry
from tournament.base import Selector
from tournament.config import TournamentConfig

SELECTORS = Registry(
    "selector",
    {
        "rtv": "tournament.rtv:RTVSelector",
        "adaptive": "tournament.rtv:AdaptiveSelector",
        "swiss": "tournament.swiss:SwissSelector",
        "pointwise": "tournament.scored:PointwiseSelector",
        "verify": "tournament.scored:VerifySelector",
        "random": "tournament.baselines:RandomSelector",
        "first-finish": "tournament.baselines:FirstFinishSelector",
        "majority": "tournament.baselines:MajoritySelector",
    },
)


def open_selector(config: TournamentConfig, model: ChatModel) -> Selector:
    """The selector that `config.selector` names.

    Raises:
        UnknownPart: there is no such name, module or class.
        InvalidOptions: `config.options` do not fit it.
    """
    selector: Selector = SELECTORS.open(
        config.selector, config, model, options=config.options, key="tournament.options"
    )
    return selector


def needs_model(config: TournamentConfig) -> bool:
    """Whether the selector asks a model about the candidates.

    Raises:
        UnknownPart: as `open_selector`.
    """
    return bool(getattr(SELECTORS.find(config.selector), "needs_model", True))
