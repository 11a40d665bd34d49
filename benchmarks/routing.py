"""When routing drops a small model: by its true agreement with the large one, with the rule of a run.

    python -m benchmarks.routing --runs 2000

Each simulated run has 200 matches. Both models answer the first `warm_up` and a share `sample` of the rest; whether
they agree is drawn with the true agreement. Printed are the share of runs that switch to the large model, the median
match at which they do, and the share of matches that the large model judges, alone or as well.
"""

import argparse
import random
from statistics import median

from heats.routing import RoutingConfig

MATCHES = 200


def run(rule: RoutingConfig, agreement: float, rng: random.Random) -> tuple[int | None, int]:
    """Simulate a run; returns the match after which it switches, and how many matches the large model judges."""
    agreed: list[bool] = []
    for match in range(MATCHES):
        if match < rule.warm_up or rng.random() < rule.sample:
            agreed.append(rng.random() < agreement)
            if rule.too_low(agreed) is not None:
                return match + 1, len(agreed) + MATCHES - match - 1
    return None, len(agreed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print("| true agreement | runs that switch % | median match of the switch | matches judged by the large model % |")
    print("| --: | --: | --: | --: |")
    for agreement in (0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5):
        rng = random.Random(f"{asked.seed} {agreement}")
        found = [run(RoutingConfig(votes=True), agreement, rng) for _ in range(asked.runs)]
        switched = [at for at, _ in found if at is not None]
        cells = f"{100 * len(switched) / asked.runs:.1f} | {median(switched) if switched else '-'}"
        large = sum(judged for _, judged in found) / asked.runs / MATCHES
        print(f"| {agreement} | {cells} | {100 * large:.0f} |")


if __name__ == "__main__":
    main()
