"""Context rules that branch off an earlier attempt: its first turns are repeated, then the rollout goes its own way."""

import random
from collections import Counter
from typing import Literal

from pydantic import Field

from core.record import Config
from heats.context_rules.base import Before, Choice
from heats.context_rules.evolve import drawn_parent


class Replay:
    """A share of the rollouts branches off an earlier attempt at a critical turn; the others start afresh.

    Which attempt: one of those with the best evidence, at random. Which turn: the files that were looked at until then
    make a state, and a state that few turns of these attempts are in is likelier; of its turns, the one with the most
    thought. Source: SWE-Replay, arXiv:2601.22129, whose share is 0.5.
    """

    branches = True

    class Options(Config):
        """Settings.

        Attributes:
            share: of the rollouts that branch, in expectation.
            others: what the others are shown: `fresh` nothing, `select-k` the K kept attempts.
        """

        share: float = Field(0.5, ge=0, le=1)
        others: Literal["fresh", "select-k"] = "fresh"

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        rng = random.Random(before.seed)
        archive = {one: known for one in before.changes if (known := before.attempts.get(one)) and known.turns}
        if not archive or rng.random() >= self.options.share:
            return Choice(parents=tuple(before.kept) if self.options.others == "select-k" else ())
        best = max(one.candidate.evidence_rank for one in archive.values())
        parent = rng.choice([name for name, one in archive.items() if one.candidate.evidence_rank == best])
        visits = Counter(turn.files for one in archive.values() for turn in one.turns)
        turns = archive[parent].turns
        states = list(dict.fromkeys(turn.files for turn in turns))
        (state,) = rng.choices(states, [1 / visits[one] for one in states])
        number = max((n for n, turn in enumerate(turns, 1) if turn.files == state), key=lambda n: turns[n - 1].thought)
        return Choice(parents=(parent,), start=parent, turns=number)


class Phases:
    """Each rollout takes over how an earlier attempt found its way, and makes an edit of its own.

    It branches off right before the first edit of a parent that is drawn by rank, so that each parent's search is used
    once before any is used twice. Source: SWE-Reasoner, arXiv:2503.23803, where a model judges the searches; here the
    rank of the attempts that came out of them decides.
    """

    branches = True

    class Options(Config):
        """Settings.

        Attributes:
            power: exponent of the power law over ranks; 0 draws parents evenly.
        """

        power: float = Field(1.0, ge=0)

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        searches: dict[str, int] = {}
        for name in before.changes:
            turns = before.attempts[name].turns if name in before.attempts else ()
            if first := next((number for number, turn in enumerate(turns) if turn.edits), 0):
                searches[name] = first
        if not searches:
            return Choice(parents=tuple(before.kept))
        parent = drawn_parent([*searches], before.index, before.heat_seed, self.options.power)
        return Choice(parents=(parent,), start=parent, turns=searches[parent])
