"""Selectors by name.

A selector is constructed from the tournament's configuration and a chat model: with its class method
`open(config, model)` if it has one, else by `Class(config, model)`. Three class attributes are read beforehand:

- `needs_model = False` declares that it asks no model and needs neither a configured model nor the issue's text; where
  that depends on the configuration, a class method `asks_model(config)` says so;
- `routes_votes = True` declares that all questions to the model are the votes of `MatchVotes`, which follow
  `Case.routing`;
- `Options`, a `core.record.Config`, declares its own settings. They are read from `tournament.options` and passed as
  the keyword argument `options`.
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
        "critic": "tournament.critic:CriticSelector",
        "majority": "tournament.baselines:MajoritySelector",
    },
)


def open_selector(config: TournamentConfig, model: ChatModel) -> Selector:
    """Open the selector that `config.selector` names.

    Raises:
        UnknownPart: there is no such name, module or class.
        InvalidOptions: `config.options` do not match the selector's `Options`.
    """
    selector: Selector = SELECTORS.open(
        config.selector, config, model, options=config.options, key="tournament.options"
    )
    return selector


def needs_model(config: TournamentConfig) -> bool:
    """Return whether the selector asks a model about the candidates.

    Raises:
        UnknownPart, InvalidOptions: see `open_selector`.
    """
    part = SELECTORS.find(config.selector)
    asks = getattr(part, "asks_model", None)
    return bool(asks(config) if asks is not None else getattr(part, "needs_model", True))


def routes_votes(config: TournamentConfig) -> bool:
    """Return whether the selector's votes can be divided between two judges.

    Raises:
        UnknownPart: there is no such selector.
    """
    return bool(getattr(SELECTORS.find(config.selector), "routes_votes", False))
