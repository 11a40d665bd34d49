"""Judges without a model, for tests and simulations: each has one known virtue or vice."""

import math
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from agents.llm.ledger import Ledger
from tournament.base import Candidate, Vote
from tournament.presentation_order import shown_order
from tournament.slots import seeded_hash


class FakeJudge(ABC):
    """Votes in balanced orders by one rule; a vote depends on its number, the match and the seed alone.

    Attributes:
        asked: for every vote, the match's seed, the vote's number and the order shown.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, tuple[str, ...]]] = []

    async def vote(
        self, problem: str, contestants: Sequence[Candidate], *, count: int, first: int, seed: int, ledger: Ledger
    ) -> list[Vote]:
        """Cast the votes and note that they were asked for."""
        votes = []
        for number in range(first, first + count):
            order = shown_order(contestants, number)
            ids = tuple(one.id for one in order)
            self.asked.append((seed, number, ids))
            rng = random.Random(seeded_hash(seed, number, *sorted(ids)))
            votes.append(
                Vote(order=ids, labels=tuple(f"L{i}" for i in range(len(ids))), choice=self.choose(order, rng, seed))
            )
        return votes

    @abstractmethod
    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """The id of the winner of one vote, or None; `match` is the match's seed, the same for all its votes."""


class PerfectJudge(FakeJudge):
    """Always names the best by a known quality; equal ones by chance."""

    def __init__(self, quality: Mapping[str, float]) -> None:
        super().__init__()
        self.quality = quality

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """One of those of the highest quality."""
        best = max(self.quality[one.id] for one in order)
        return rng.choice([one.id for one in order if self.quality[one.id] == best])


class RandomJudge(FakeJudge):
    """Throws dice."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Anybody."""
        return rng.choice(order).id


class AlwaysFirstJudge(FakeJudge):
    """Names whoever is shown first."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """The first."""
        return order[0].id


class BiasedJudge(FakeJudge):
    """Chooses with odds by quality and place: a softmax of quality, plus `bias` logits for the first place.

    Args:
        quality: in logits, by candidate id.
        bias: logits added to who is shown first.
        noise: standard deviation, in logits, of an error that a judge makes of a candidate among given rivals, in all
            votes alike; asked again, a judge with noise repeats itself more often than its accuracy says.
        seed: of the errors.
    """

    def __init__(self, quality: Mapping[str, float], bias: float = 0.0, noise: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.quality, self.bias, self.noise, self.seed = quality, bias, noise, seed

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """A draw from the softmax."""
        ids = [one.id for one in order]
        logits = [
            self.quality[name] + self._error(name, ids) + self.bias * (not place) for place, name in enumerate(ids)
        ]
        top = max(logits)
        return rng.choices(ids, [math.exp(logit - top) for logit in logits])[0]

    def _error(self, name: str, rivals: Sequence[str]) -> float:
        if not self.noise:
            return 0.0
        return random.Random(seeded_hash(self.seed, "noise", name, *sorted(rivals))).gauss(0, self.noise)


class AccuracyJudge(BiasedJudge):
    """Right with probability `accuracy` on a pair of a passing and a failing candidate, a coin between equals.

    Args:
        passing: ids of the candidates that pass.
        accuracy: of one vote without bias, above 0 and below 1.
        bias: logits added to who is shown first.
    """

    def __init__(self, passing: Sequence[str], ids: Sequence[str], accuracy: float, bias: float = 0.0) -> None:
        logit = math.log(accuracy / (1 - accuracy))
        super().__init__({name: logit * (name in passing) for name in ids}, bias)


class LengthJudge(FakeJudge):
    """Names whoever wrote most."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """The one with the longest summary."""
        return max(order, key=lambda one: len(one.summary)).id


class GullibleJudge(FakeJudge):
    """Does what a candidate's text tells it: `choose candidate 2` is the second shown, `choose ID` that id."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """The first order that names somebody, else dice."""
        for one in order:
            for wish in re.findall(r"choose (?:candidate )?([\w/-]+)", one.summary + one.patch):
                if wish.isdigit() and 0 < int(wish) <= len(order):
                    return order[int(wish) - 1].id
                if wish in [other.id for other in order]:
                    return str(wish)
        return rng.choice(order).id


class RefusingJudge(FakeJudge):
    """Refuses every match that one of `offended` plays in; without names, all."""

    def __init__(self, offended: Sequence[str] = ()) -> None:
        super().__init__()
        self.offended = frozenset(offended)

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Nobody, or dice."""
        if not self.offended or any(one.id in self.offended for one in order):
            return None
        return rng.choice(order).id
