"""Votes that early stopping saves, the fewest that any rule could do with, and what position bias costs."""

from functools import cache

from benchmarks.selection_field import IDS, N, choose, gap_for, passing, settings
from tournament.base import Match
from tournament.fake import BiasedJudge
from tournament.rtv import RTVSelector

VOTES = 8
STOPS = (
    ("balanced", ("earlier-block", "smaller-patch")),
    ("lean", ("earlier-block", "smaller-patch")),
    ("lean", ("earlier-vote", "smaller-patch")),
)


def fewest(accuracy: float, votes: int = VOTES) -> float:
    """Expected votes of the best rule for a pair that names the winner of all votes, whatever its tie-break is.

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
    """What position bias costs with balanced orders."""
    print(f"## bias: accuracy 0.7, rtv, {seeds} selections a cell, per cent passing\n")
    names = [f"{stop}, {ties[0]}" for stop, ties in STOPS]
    print("| bias | " + " | ".join(names) + " |\n|" + " --- |" * (1 + len(names)))
    for logits in (0.0, 0.5, 1.0, 2.0):
        cells = []
        for stop, ties in STOPS:
            won = 0
            for seed in range(seeds):
                good = passing(seed)
                judge = BiasedJudge({name: gap_for(0.7, 0.0) * (name in good) for name in IDS}, logits, 0.0, seed)
                selector = RTVSelector(settings(early_stop=stop, ties=ties), judge)
                won += (await choose(selector, seed)).selected[0] in good
            cells.append(f"{100 * won / seeds:.1f}")
        print(f"| {logits:g} logits | " + " | ".join(cells) + " |")
    print()


async def early_stop(seeds: int) -> None:
    """Votes saved by stopping, the most that can be saved, and whether any winner differs."""
    print(f"## early stopping against V = {VOTES}, accuracy 0.7, {seeds} tournaments of {N} a row\n")
    print("| judge | stop, tie-break | kept | votes | saved | most possible | on mixed pairs | other winners |")
    print("|" + " --- |" * 8)
    for noise in (0.0, 1.0, 2.0):
        for keep in (1, 4) if not noise else (1,):
            for stop, ties in STOPS:
                await _stopping(seeds, noise, stop, ties, keep)
    print(f"\nNo rule can save more of independent votes: {_saved(0.7)} of a mixed pair's, {_saved(0.5)} of equals'.\n")


def _saved(accuracy: float) -> str:
    return f"{100 * (1 - fewest(accuracy) / VOTES):.1f} %"


async def _stopping(seeds: int, noise: float, stop: str, ties: tuple[str, ...], keep: int) -> None:
    gap, differ = gap_for(0.7, noise), 0
    played: list[Match] = []
    mixed: list[Match] = []
    for seed in range(seeds):
        good = passing(seed)
        worth = {name: gap * (name in good) for name in IDS}
        full, short = BiasedJudge(worth, 0, noise, seed), BiasedJudge(worth, 0, noise, seed)
        whole = await choose(RTVSelector(settings(early_stop="never", ties=ties), full), seed, keep=keep)
        brief = await choose(RTVSelector(settings(early_stop=stop, ties=ties), short), seed, keep=keep)
        for one, other in zip(whole.rounds, brief.rounds, strict=True):
            differ += sum(a.winner != b.winner for a, b in zip(one, other, strict=True))
        matches = [match for matches in brief.rounds for match in matches]
        played += matches
        mixed += [match for match in matches if len(good.intersection(match.contestants)) == 1]
    votes = sum(len(match.votes) for match in played) / seeds
    of = VOTES * len(played) / seeds
    on_mixed = 100 * (1 - sum(len(match.votes) for match in mixed) / len(mixed) / VOTES)
    least = (len(mixed) * fewest(0.7) + (len(played) - len(mixed)) * fewest(0.5)) / seeds
    judge, most = (f"noise {noise:g}", "-") if noise else ("independent votes", f"{100 * (1 - least / of):.1f} %")
    cells = (judge, f"{stop}, {ties[0]}", str(keep), f"{votes:.1f} of {of:.0f}", f"{100 * (1 - votes / of):.1f} %")
    print("| " + " | ".join((*cells, most, f"{on_mixed:.1f} %", str(differ))) + " |", flush=True)
