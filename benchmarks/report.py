"""How long the report of a large synthetic run takes, and how large it gets.

    python benchmarks/report.py --tasks 500 --rollouts 16 --heats 2

Goal: 500 tasks with 32 rollouts each in at most 60 s on 2 cores, first page at most 3 MB.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "heats" / "show")]


def main() -> None:
    """Make a run, write its report, print the figures as JSON."""
    from synthetic import build_run
    from synthetic_parts import Plan

    from heats.show import RunFigures, write_report

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--rollouts", type=int, default=16, help="in each heat")
    parser.add_argument("--heats", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    os.fsync = lambda handle: None  # the run made here need not survive a power cut
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(tasks=options.tasks, rollouts=options.rollouts, heats=options.heats, steps=options.steps)
        started = time.perf_counter()
        run = build_run(Path(folder) / "run", plan)
        built = time.perf_counter()
        RunFigures.of(run)
        counted = time.perf_counter()
        before = sum(os.times()[:4])
        path = write_report(run, run.directory / "report.html")
        cpu = sum(os.times()[:4]) - before
        written = time.perf_counter()
        beside = sum(file.stat().st_size for file in (run.directory / "report-files").glob("*.html"))
        told = {
            "tasks": options.tasks,
            "rollouts": options.tasks * options.rollouts * options.heats,
            "steps": options.steps,
            "make_run_s": round(built - started, 1),
            "figures_s": round(counted - built, 1),
            "report_s": round(written - counted, 1),
            "report_cpu_s": round(cpu, 1),
            "first_page_mb": round(path.stat().st_size / 1e6, 2),
            "pages_beside_mb": round(beside / 1e6, 1),
            "cores": os.cpu_count(),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
