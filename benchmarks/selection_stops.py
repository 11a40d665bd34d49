"""Votes saved by early stopping, the minimum for any rule, and the cost of position bias."""

import random
from collections.abc import Callable, Sequence
from functools import cache

from agents.llm.ledger import Ledger
from benchmarks.selection_field import IDS, N, choose, gap_for, passing, settings
from heats.planning.calibration import quality_gap
from tournament.base import Bracket, Candidate, Match, Vote
from tournament.fake import BiasedJudge, FakeJudge
from tournament.rtv import RTVSelector

VOTES = 8
ACCURACY = 0.7
Rule = tuple[str, tuple[str, ...]]
USUAL: Rule = ("balanced", ("earlier-block",))
OTHERS: tuple[Rule, ...] = (("balanced", ()),)
Build = Callable[[frozenset[str], int], FakeJudge]


class Strict(FakeJudge):
    """Right about every pair with the same probability; the candidates have a strict order, passing ones first."""

    def __init__(self, good: frozenset[str]) -> None:
        super().__init__()
        self.good = good

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """The better candidate or, by mistake, the other.

        Args:
            order: the candidates in display order.
            rng: source of randomness.
            match: seed of the match.
        """
        better, worse = sorted((one.id for one in order), key=lambda name: (name not in self.good, name))
        return better if rng.random() < ACCURACY else worse


class OneOrder(BiasedJudge):
    """Sees every pair in the same order in all votes."""

    def choose(self, order: Sequence[Candidate], rng: random.Random, match: int) -> str | None:
        """Choose as usual, but from the candidates in a fixed order.

        Args:
            order: the candidates in display order.
            rng: source of randomness.
            match: seed of the match.
        """
        return super().choose(sorted(order, key=lambda one: one.id), rng, match)


class Counting:
    """A judge that counts its requests: votes on the same order share one request if the server supports `n`."""

    def __init__(self, judge: FakeJudge) -> None:
        self.judge, self.requests, self.waves = judge, 0, 0

    async def vote(
        self, problem: str, contestants: Sequence[Candidate], *, count: int, first: int, seed: int, ledger: Ledger
    ) -> list[Vote]:
        """Count the requests, and vote.

        Args:
            problem: the task's statement.
            contestants: the match's candidates.
            count: number of votes.
            first: number of the first vote.
            seed: the match's seed.
            ledger: passed on to the judge.
        """
        self.requests += min(count, len(contestants))
        self.waves += 1
        return await self.judge.vote(problem, contestants, count=count, first=first, seed=seed, ledger=ledger)


def _dice(gap: float, noise: float = 0.0) -> Build:
    return lambda good, seed: BiasedJudge({name: gap * (name in good) for name in IDS}, 0, noise, seed)


def judges() -> dict[str, tuple[Build, tuple[float, float] | None]]:
    """Judges for each meaning of accuracy 0.7; and, if known, probabilities per vote for mixed pairs and equals."""
    return {
        "every pair alike": (lambda good, _: Strict(good), (ACCURACY, ACCURACY)),
        "mixed pairs, a coin between equals": (_dice(gap_for(ACCURACY, 0.0)), (ACCURACY, 0.5)),
        "the same, errors shared (1 logit)": (_dice(gap_for(ACCURACY, 1.0), 1.0), None),
        "the same, errors shared (2 logits)": (_dice(gap_for(ACCURACY, 2.0), 2.0), None),
        "8 votes together, errors shared (2 logits)": (_dice(quality_gap(ACCURACY, 2.0), 2.0), None),
        "8 votes together, independent": (_dice(quality_gap(ACCURACY, 0.0)), None),
    }


def fewest(accuracy: float, votes: int = VOTES) -> float:
    """Expected votes of the best rule that names the winner of all votes for a pair, regardless of its tie-break.

    While both have less than half of `votes`, each can still get more than half, so nothing is decided. Once one has
    half, the other can only draw level; a tie-break by who had half first makes that a win.
    """

    @cache
    def more(one: int, other: int) -> float:
        if 2 * max(one, other) >= votes:
            return 0.0
        return 1 + accuracy * more(one + 1, other) + (1 - accuracy) * more(one, other + 1)

    return more(0, 0)


async def bias(seeds: int) -> None:
    """What position bias costs with and without balanced orders."""
    print(f"## bias: accuracy {ACCURACY}, rtv, {seeds} selections a cell, per cent passing\n")
    columns = [("both orders", USUAL, BiasedJudge), ("one order", USUAL, OneOrder)]
    print("| bias | " + " | ".join(name for name, _, _ in columns) + " |\n|" + " --- |" * (1 + len(columns)))
    for logits in (0.0, 0.5, 1.0, 2.0):
        cells = []
        for _, (stop, ties), kind in columns:
            won = 0
            for seed in range(seeds):
                good = passing(seed)
                judge = kind({name: gap_for(ACCURACY, 0.0) * (name in good) for name in IDS}, logits, 0.0, seed)
                selector = RTVSelector(settings(early_stop=stop, ties=ties), judge)
                won += (await choose(selector, seed)).selected[0] in good
            cells.append(f"{100 * won / seeds:.1f}")
        print(f"| {logits:g} logits | " + " | ".join(cells) + " |", flush=True)
    print()


async def early_stop(seeds: int) -> None:
    """Votes saved by stopping, the most that can be saved, and whether any winner differs."""
    print(f"## early stopping against V = {VOTES}, accuracy {ACCURACY}, {seeds} tournaments of {N} a row\n")
    print("| accuracy is of | tie-break | kept | saved | possible | mixed pairs | requests | waves | differ |")
    print("|" + " --- |" * 9)
    for name, (build, chances) in judges().items():
        for rule in (USUAL, *OTHERS):
            await _stopping(seeds, (name, build, chances), rule, 1)
        if chances is not None:
            await _stopping(seeds, (name, build, chances), USUAL, 4)
    print(f"\nNo rule saves more of independent votes: {_saved(ACCURACY)} at 0.7, {_saved(0.5)} of a coin's.\n")


def _saved(accuracy: float) -> str:
    return _percent(1 - fewest(accuracy) / VOTES)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


async def _stopping(seeds: int, judge: tuple[str, Build, tuple[float, float] | None], rule: Rule, keep: int) -> None:
    (name, build, chances), (stop, ties), differ = judge, rule, 0
    played: list[Match] = []
    mixed: list[Match] = []
    requests = waves = 0
    for seed in range(seeds):
        good = passing(seed)
        full, short = Counting(build(good, seed)), Counting(build(good, seed))
        whole = await choose(RTVSelector(settings(early_stop="never", ties=ties), full), seed, keep=keep)
        brief = await choose(RTVSelector(settings(early_stop=stop, ties=ties), short), seed, keep=keep)
        differ += _differences(whole, brief)
        matches = [match for matches in brief.rounds for match in matches]
        played += matches
        mixed += [match for match in matches if len(good.intersection(match.contestants)) == 1]
        requests += short.requests
        waves += short.waves
    cells = [name, "".join(ties) or "lot", str(keep), _percent(_unspent(played)), "-", _percent(_unspent(mixed))]
    if chances is not None:
        least = len(mixed) * fewest(chances[0]) + (len(played) - len(mixed)) * fewest(chances[1])
        cells[4] = _percent(1 - least / VOTES / len(played))
    cells += [f"{requests / len(played):.2f}", f"{waves / len(played):.2f}", f"{differ} of {len(played)}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def _unspent(matches: Sequence[Match]) -> float:
    """Share of the votes that were not cast."""
    return 1 - sum(len(match.votes) for match in matches) / len(matches) / VOTES


def _differences(one: Bracket, other: Bracket) -> int:
    """Number of matches with a different winner."""
    pairs = zip(one.rounds, other.rounds, strict=True)
    return sum(a.winner != b.winner for first, second in pairs for a, b in zip(first, second, strict=True))
