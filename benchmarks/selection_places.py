"""The cost of never keeping a candidate unseen: matches, and quality of the kept, if N, G and K do not divide."""

import random
from statistics import fmean

from benchmarks.selection_field import choose, gap_for, settings
from tournament.base import Candidate
from tournament.fake import BiasedJudge
from tournament.rtv import RTVSelector

SIZES = ((3, 2), (4, 2), (4, 3), (5, 2), (5, 4), (6, 4), (7, 4), (8, 4), (12, 4), (16, 4))
ACCURACY = 0.8


async def places(seeds: int) -> None:
    """Matches of a tournament that keeps K of N in pairs, with distinct candidates and with one in six a copy."""
    print(
        f"## places: G = 2, a judge of accuracy {ACCURACY}, {seeds} tournaments a row; a third of the candidates pass\n"
    )
    print("| N | K | with byes: N - K matches | matches | the kept that pass | of all | matches, 1 in 6 a copy |")
    print("|" + " --- |" * 7)
    for count, keep in SIZES:
        full = [await _play(seed, count, keep, 0.0) for seed in range(seeds)]
        some = [await _play(seed, count, keep, 1 / 6) for seed in range(seeds)]
        played, kept, whole = (fmean(column) for column in zip(*full, strict=True))
        cells = (
            str(count),
            str(keep),
            str(count - keep),
            f"{played:.0f}",
            f"{100 * kept:.1f} %",
            f"{100 * whole:.1f} %",
        )
        print("| " + " | ".join((*cells, f"{fmean(row[0] for row in some):.1f}")) + " |", flush=True)
    print(flush=True)


async def _play(seed: int, count: int, keep: int, missing: float) -> tuple[int, float, float]:
    """Number of judged matches, the share of the kept that pass, and that of all candidates."""
    rng = random.Random(seed)
    field = [Candidate(id=f"r{index:02}", summary="", patch_key=f"{index}") for index in range(count)]
    copied = [one if rng.random() >= missing else one.model_copy(update={"patch_key": "0"}) for one in field]
    passes = {one.id: rng.random() < 1 / 3 for one in field}
    judge = BiasedJudge({name: gap_for(ACCURACY, 0.0) * good for name, good in passes.items()})
    bracket = await choose(RTVSelector(settings(), judge), seed, copied, keep)
    judged = sum(bool(match.votes) for match in bracket.matches)
    return judged, fmean(passes[name] for name in bracket.selected), fmean(passes.values())
