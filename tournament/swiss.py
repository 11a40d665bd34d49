"""Pairwise ranking that spends votes where the order is uncertain, modelled on the Swiss system.

All candidates first play one pair each. Then strengths are fitted to all votes, and further pairs are drawn from the
candidates that may fall on either side of the line below the K best (top-two Thompson sampling), until as many votes
are cast as plain RTV would use. Each pairing is one vote in each order.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Self

from agents.llm.base import ChatModel
from core.aio import together
from tournament.base import Candidate, Case, Judge, Match
from tournament.bradley_terry import Strength, strengths
from tournament.config import TournamentConfig
from tournament.heard import Rejections
from tournament.match_votes import MatchVotes, decided_match
from tournament.probe_judge import open_judge
from tournament.ranker import Assessment, Key, Ranker
from tournament.slots import equal_changes, seeded_hash
from tournament.ties import preference

Pair = tuple[Candidate, Candidate]

_DRAWS = 20


class SwissSelector(Ranker):
    """Uncertainty-guided pairwise ranking.

    Args:
        config: the budget is `votes` times the number of candidates to eliminate.
        judge: casts the votes.
    """

    name = "swiss"
    routes_votes = True

    def __init__(self, config: TournamentConfig, judge: Judge) -> None:
        self.config = config
        self.judge = judge
        self.rejections = Rejections()

    @classmethod
    def open(cls, config: TournamentConfig, model: ChatModel) -> Self:
        """Construct the selector with a judge that asks the model."""
        return cls(config, open_judge(config, model))

    async def assess(self, field: Sequence[Candidate], k: int, case: Case) -> Assessment:
        """Play pairs; only the evidence rank that is split between selected and rejected is judged.

        Args:
            field: eligible candidates, in slot order.
            k: number to be selected.
            case: the problem, and the resources to judge it with.

        Returns:
            Sort keys by estimated strength, and the matches played.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the judge can succeed.
        """
        copies = equal_changes(field)
        unsure, keep = _at_the_line([one for one in field if one.id not in copies], k)
        judging = MatchVotes(self.config, self.judge, case)
        rounds = await _Ranking(judging, unsure, keep, self.config.votes * (len(unsure) - keep)).play()
        self.rejections.check([vote for matches in rounds for match in matches for vote in match.votes])
        found = _strengths(unsure, rounds)
        keys: dict[str, Key] = {}
        for place, name in enumerate(preference(field, case.seed, "ranking", self.config.ties)):
            known = found.get(copies.get(name, name))
            keys[name] = (name in copies, -(known.mean if known else 0.0), place)
        return Assessment(keys, rounds, unheard=_unheard(rounds))


def _at_the_line(players: Sequence[Candidate], k: int) -> tuple[list[Candidate], int]:
    """Find the evidence rank that is only partly selected, and how many of it are selected."""
    for rank in sorted({one.evidence_rank for one in players}, reverse=True):
        same = [one for one in players if one.evidence_rank == rank]
        if len(same) > k:
            return same, k
        k -= len(same)
        if k == 0:
            break
    return [], 0


def _unheard(rounds: Sequence[Sequence[Match]]) -> frozenset[str]:
    """Players without a readable vote in any match."""
    met = [(match.decided_by != "unheard", match.contestants) for matches in rounds for match in matches]
    heard = {name for read, names in met if read for name in names}
    return frozenset(name for _, names in met for name in names if name not in heard)


def _strengths(players: Sequence[Candidate], rounds: Sequence[Sequence[Match]]) -> dict[str, Strength]:
    wins: dict[tuple[str, str], float] = defaultdict(float)
    for vote in (vote for matches in rounds for match in matches for vote in match.votes):
        if vote.choice is not None:
            shares = vote.shares or tuple(float(name == vote.choice) for name in vote.order)
            for pair, share in zip((vote.order, vote.order[::-1]), shares, strict=True):
                wins[pair[0], pair[1]] += share
    return strengths([one.id for one in players], wins)


class _Ranking:
    """The pairings of one selection."""

    def __init__(self, judging: MatchVotes, players: list[Candidate], keep: int, budget: int) -> None:
        self.judging, self.players, self.keep, self.budget = judging, players, keep, budget

    async def play(self) -> tuple[tuple[Match, ...], ...]:
        """Play rounds until the budget is spent."""
        rounds: list[tuple[Match, ...]] = []
        left = self.budget // 2
        while left > 0:
            pairs = (self._closest(rounds) if rounds else self._first())[:left]
            left -= len(pairs)
            number = len(rounds)
            matches = await together(self._match(f"s{number}-m{index}", pair) for index, pair in enumerate(pairs))
            rounds.append(tuple(matches))
        return tuple(rounds)

    def _first(self) -> list[Pair]:
        """Pair neighbouring slots; if their number is odd, the last also plays the first."""
        pairs = list(zip(self.players[::2], self.players[1::2], strict=False))
        if len(self.players) % 2:
            pairs.append((self.players[-1], self.players[0]))
        return pairs

    def _closest(self, rounds: Sequence[Sequence[Match]]) -> list[Pair]:
        """Pair up to a quarter of the players whose order across the line is uncertain."""
        found = _strengths(self.players, rounds)
        rng = random.Random(seeded_hash(self.judging.case.seed, "swiss", len(rounds)))
        pairs: list[Pair] = []
        for _ in range(_DRAWS):
            one, other = self._across(found, rng), self._across(found, rng)
            pair = (one[0], other[1])
            busy = {player.id for drawn in pairs for player in drawn}
            if pair[0].id != pair[1].id and not {pair[0].id, pair[1].id} & busy:
                pairs.append(pair)
            if len(pairs) >= max(1, len(self.players) // 8):
                break
        return pairs or [self._across(found, rng)]

    def _across(self, found: Mapping[str, Strength], rng: random.Random) -> Pair:
        """The last player above the line and the first below it, for one plausible draw of all strengths."""
        drawn = {one.id: found[one.id].draw(rng) for one in self.players}
        order = sorted(self.players, key=lambda one: -drawn[one.id])
        return order[self.keep - 1], order[self.keep]

    async def _match(self, match_id: str, pair: Pair) -> Match:
        rules = self.judging.rules(match_id, pair, 2)
        match = decided_match(match_id, pair, rules, await self.judging.votes(match_id, pair, rules))
        self.judging.case.journal.add_match(match)
        return match
