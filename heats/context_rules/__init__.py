"""Context rules: what a rollout of a later heat is shown of the heat before. Found by name, `refine.context`.

`base.py` defines what a rule gets and answers. docs/context-rules.md says where each rule comes from.
"""

from collections.abc import Mapping
from typing import Any

from core.registry import Registry
from heats.context_rules.base import Before, Choice, ContextRule, Earlier, ParentsRule, Rule, choice_of, fresh_rollouts

__all__ = [
    "CONTEXT_RULES",
    "Before",
    "Choice",
    "ContextRule",
    "Earlier",
    "ParentsRule",
    "Rule",
    "choice_of",
    "fresh_rollouts",
    "open_context_rule",
]

CONTEXT_RULES = Registry(
    "context rule",
    {
        "select-k": "heats.context_rules.selected:SelectK",
        "random-k": "heats.context_rules.selected:RandomK",
        "single": "heats.context_rules.selected:Single",
        "best-worst": "heats.context_rules.selected:BestWorst",
        "debate": "heats.context_rules.selected:Debate",
        "fuse": "heats.context_rules.selected:Fuse",
        "evolve": "heats.context_rules.evolve:Evolve",
        "islands": "heats.context_rules.evolve:Islands",
        "key-facts": "heats.context_rules.key_facts:KeyFacts",
        "guided": "heats.context_rules.guided:Guided",
        "critique": "heats.context_rules.critique:Critique",
        "replay": "heats.context_rules.branching:Replay",
        "phases": "heats.context_rules.branching:Phases",
        "particles": "heats.context_rules.trees:Particles",
        "best-first": "heats.context_rules.trees:BestFirst",
        "coverage": "heats.context_rules.trees:Coverage",
    },
)


def open_context_rule(name: str, options: Mapping[str, Any] | None = None) -> Rule:
    """Return the context rule that `refine.context` names.

    Raises:
        UnknownPart: there is no such name, module or class.
        InvalidOptions: `refine.options` do not match the rule's `Options`.
    """
    rule: Rule = CONTEXT_RULES.open(name, options=options or {}, key="refine.options")
    return rule
