"""How long the report of a large synthetic run takes, and how large it is.

    python benchmarks/report.py --tasks 500 --rollouts 16 --heats 2

Goal: at most 60 s on 2 cores for 500 tasks with 32 rollouts each; a first page of at most 3 MB that responds within 2
s.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from browser import Browser

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "heats" / "show")]


def interactive(path: Path, folder: Path) -> dict[str, float]:
    """Seconds from opening the first page, and the largest task's, until it responds to a click."""
    from browser import Browser

    largest = max(path.parent.glob("report-files/*.html"), key=lambda page: page.stat().st_size, default=path)
    with Browser(folder / "profile") as browser:
        browser.open("about:blank")
        return {name: round(_answer(browser, page), 2) for name, page in (("first", path), ("task", largest))}


def _answer(browser: "Browser", page: Path) -> float:
    started = time.perf_counter()
    browser.call("Page.navigate", url=page.as_uri())
    while browser.evaluate("document.readyState") != "complete":
        time.sleep(0.01)
    # A click and the following frame: a page draws one only when it is no longer busy.
    browser.evaluate(
        "new Promise((done) => { (document.querySelector('th') || document.querySelector('summary')).click();"
        " requestAnimationFrame(() => setTimeout(done)); })"
    )
    return time.perf_counter() - started


def main() -> None:
    """Create a run, write its report, and print the figures as JSON."""
    from browser import find_chromium
    from synthetic import build_run
    from synthetic_parts import Plan

    from heats.report.report import build_report
    from heats.store.store import RunStore

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--rollouts", type=int, default=16, help="in each heat")
    parser.add_argument("--heats", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--run", type=Path, help="keep the run in this directory, or take the one that is there")
    options = parser.parse_args()
    os.fsync = lambda handle: None  # this run need not survive a power failure
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"rollouts": options.rollouts, "heats": options.heats, "steps": options.steps}
        plan = Plan(tasks=options.tasks, chatty=True, **sizes)
        directory = options.run or Path(folder) / "run"
        started = time.perf_counter()
        run = RunStore(directory) if directory.is_dir() else build_run(directory, plan)
        built = time.perf_counter()
        before = sum(os.times()[:4])
        path = run.directory / "report.html"
        build_report(run, path)
        cpu = sum(os.times()[:4]) - before
        written = time.perf_counter()
        beside = sum(file.stat().st_size for file in (run.directory / "report-files").glob("*.html"))
        told = {
            "tasks": options.tasks,
            "rollouts": options.tasks * options.rollouts * options.heats,
            "steps": options.steps,
            "make_run_s": round(built - started, 1),
            "report_s": round(written - built, 1),
            "report_cpu_s": round(cpu, 1),
            "first_page_mb": round(path.stat().st_size / 1e6, 2),
            "pages_beside_mb": round(beside / 1e6, 1),
            "interactive_s": interactive(path, Path(folder)) if find_chromium() else None,
            "cores": os.cpu_count(),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
