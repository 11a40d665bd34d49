"""Judges without a model for tests and simulations, each with one known virtue or vice."""

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
    """Votes by one rule in balanced presentation orders; a vote depends only on its number, the match and the seed.

    Attributes:
        asked: for every vote, the match's seed, the vote's number and the presentation order.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, tuple[str, ...]]] = []

    async def vote(
        self, problem: str, contestants: Sequence[Candidate], *, count: int, first: int, seed: int, ledger: Ledger
    ) -> list[Vote]:
        """Cast the votes and record them in `asked`.

        Args:
            problem: unused.
            contestants: the candidates to compare.
            count: number of votes to cast.
            first: number of the first vote.
            seed: seed of the match.
            ledger: unused.

        Returns:
            `count` votes, in the order of their numbers.
        """
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
        """Decide one vote.

        Args:
            order: the candidates, in presentation order.
            rng: random numbers specific to this vote.
            match: seed of the match, the same for all of its votes.

        Returns:
            ID of the winner, or None to abstain.
        """


class PerfectJudge(FakeJudge):
    """Always names the candidate of highest known quality, choosing at random between equals."""

    def __init__(self, quality: Mapping[str, float]) -> None:
        super().__init__()
        self.quality = quality

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Name one of the candidates of highest quality."""
        best = max(self.quality[one.id] for one in order)
        return rng.choice([one.id for one in order if self.quality[one.id] == best])


class RandomJudge(FakeJudge):
    """Chooses at random."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Name any candidate."""
        return rng.choice(order).id


class AlwaysFirstJudge(FakeJudge):
    """Names whichever candidate is shown first."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Name the first candidate."""
        return order[0].id


class BiasedJudge(FakeJudge):
    """Chooses by quality and position: a softmax of quality, with `bias` logits added to the first position.

    Args:
        quality: in logits, by candidate ID.
        bias: logits added to the candidate shown first.
        noise: standard deviation, in logits, of a fixed error in the judgement of a candidate among given rivals. All
            votes share it, so a noisy judge repeats itself more often than its accuracy suggests.
        seed: seed of the errors.
    """

    def __init__(self, quality: Mapping[str, float], bias: float = 0.0, noise: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.quality, self.bias, self.noise, self.seed = quality, bias, noise, seed

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Draw from the softmax."""
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
    """Right with probability `accuracy` about a passing and a failing candidate, and a coin flip between equals.

    Args:
        passing: IDs of the candidates that pass.
        ids: IDs of all candidates.
        accuracy: probability for one vote without bias, above 0 and below 1.
        bias: logits added to the candidate shown first.
    """

    def __init__(self, passing: Sequence[str], ids: Sequence[str], accuracy: float, bias: float = 0.0) -> None:
        logit = math.log(accuracy / (1 - accuracy))
        super().__init__({name: logit * (name in passing) for name in ids}, bias)


class LengthJudge(FakeJudge):
    """Names the candidate with the longest summary."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Name the candidate with the longest summary."""
        return max(order, key=lambda one: len(one.summary)).id


class GullibleJudge(FakeJudge):
    """Obeys instructions in candidates' texts: `choose candidate 2` picks the second shown, `choose ID` that ID."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Obey the first instruction that names a candidate, or choose at random."""
        for one in order:
            for wish in re.findall(r"choose (?:candidate )?([\w/-]+)", one.summary + one.patch):
                if wish.isdigit() and 0 < int(wish) <= len(order):
                    return order[int(wish) - 1].id
                if wish in [other.id for other in order]:
                    return str(wish)
        return rng.choice(order).id


class RefusingJudge(FakeJudge):
    """Abstains in matches with any of the `offended` candidates, or in all matches if none are given."""

    def __init__(self, offended: Sequence[str] = ()) -> None:
        super().__init__()
        self.offended = frozenset(offended)

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Abstain, or choose at random."""
        if not self.offended or any(one.id in self.offended for one in order):
            return None
        return rng.choice(order).id
