"""The false alarms of the tampering lint: how often it flags real attempts that did not tamper.

    .venv/bin/python benchmarks/tampering.py ATTEMPTS.jsonl ... [--show]

Each line is an object with `model_patch` and, if known, `instance_id` and `resolved`.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from envs.base import Patch
from envs.tampering import signs_of_tampering


def main() -> None:
    """Count and print, one line per file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="JSON lines with a `model_patch` each")
    parser.add_argument("--show", action="store_true", help="print every sign")
    options = parser.parse_args()
    for path in options.files:
        count(path, show=options.show)


def count(path: Path, *, show: bool) -> None:
    """One file's figures."""
    attempts = alarms = 0
    kinds: Counter[str] = Counter()
    started = time.perf_counter()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            attempt = json.loads(line)
            signs = signs_of_tampering(Patch(attempt["model_patch"].encode()))
            attempts += 1
            alarms += bool(signs)
            kinds.update({sign.what for sign in signs})
            for sign in signs if show else ():
                sys.stderr.write(f"{attempt.get('instance_id', '?')} resolved={attempt.get('resolved')}: {sign}\n")
    each_ms = 1000 * (time.perf_counter() - started) / max(attempts, 1)
    share = 100 * alarms / max(attempts, 1)
    told = "".join(f"\n  {what}: {number}" for what, number in kinds.most_common())
    print(f"{path.name}: {alarms} of {attempts} attempts ({share:.1f} %), {each_ms:.1f} ms each{told}")


if __name__ == "__main__":
    main()
