"""The report in a real browser: it works, without complaints or requests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Browser, find_chromium
from hostile import HostileVoice, swell

from heats.report import report
from heats.report.report import write_report
from heats.store.reader import task_ids
from heats.store.store import RunStore

ROOT = Path(__file__).resolve().parents[3]
MakeRun = Callable[..., RunStore]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(find_chromium() is None, reason="needs a headless Chromium")]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as opened:
        yield opened


def check_quiet(browser: Browser, path: Path) -> None:
    """No message, no policy violation, and no request except for the page's own file."""
    assert browser.complaints() == []
    assert all(url.split("#")[0] == path.as_uri() for url in browser.requests())


@pytest.fixture(scope="module")
def demo_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a `heats demo` run: the one in HEATS_DEMO_RUN, or a small one made here."""
    given = os.environ.get("HEATS_DEMO_RUN")
    run = Path(given) if given else tmp_path_factory.mktemp("demo") / "run"
    if not given:
        command = [sys.executable, "-c", "from heats.cli import main; main()", "demo", "--sandbox", "bubblewrap"]
        options = ["-i", "csv", "-k", "2", "--votes", "2", "--progress", "quiet", "--out", str(run)]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return write_report(RunStore(run), run / "report.html")


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: HEATS_SCREENSHOTS, or a temporary directory."""
    folder = Path(os.environ.get("HEATS_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.bubblewrap
@pytest.mark.timeout(400)
def test_a_demo_run_is_clicked_through_and_is_quiet(browser: Browser, demo_report: Path, shots: Path) -> None:
    browser.open(demo_report.as_uri())
    browser.screenshot(shots / "overview.png")
    if browser.seen("#task-table a"):
        browser.click("#task-table a")
        assert browser.seen("nav.crumbs .home") == 1
    assert browser.seen(".diff i.k") > 0
    browser.screenshot(shots / "diff.png")
    assert browser.seen(".diff table.split") > 0
    browser.click("details[open] .patch button")
    assert browser.seen(".diff table.split") == 0
    browser.click("details[open] .bracket svg a.at-match rect")
    assert browser.seen("details.match[open]") == 1
    browser.screenshot(shots / "bracket.png")
    browser.click("details[open] details.rollout > summary")
    browser.click("details.rollout[open] details.step > summary", 3)
    assert browser.seen("details.step[open] pre.command") == 1
    assert browser.evaluate("location.hash").startswith("#")
    browser.screenshot(shots / "trajectory.png")
    browser.dark()
    browser.resize(390, 844)
    browser.screenshot(shots / "trajectory-dark-narrow.png")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    check_quiet(browser, demo_report)


def test_clicking_through_a_report_is_quiet(browser: Browser, make_run: MakeRun, shots: Path) -> None:
    run = make_run(tasks=3, infra_share=0)
    path = write_report(run, run.directory / "report.html")
    browser.open(path.as_uri())
    assert browser.seen("details.task") == 0
    browser.screenshot(shots / "tasks.png")
    browser.click("#task-table a", 1)
    assert browser.seen(".overview") == 0
    browser.click("#demo__task-001 svg a.at-match rect", 2)
    assert browser.seen("#demo__task-001 ul.reasons, #demo__task-001 details.match[open] .soft") > 0
    browser.dark()
    browser.screenshot(shots / "bracket-dark.png")
    browser.click("#demo__task-001 details.rollout > summary", 5)
    browser.click("#demo__task-001 details.rollout[open] button[data-open=yes]")
    assert browser.seen("#demo__task-001 details.step[open]") > 5
    browser.click("#demo__task-001 .crumbs .turn a", 1)
    assert browser.seen("#demo__task-002 > .inside") == 1
    browser.click("#demo__task-002 .crumbs .home")
    assert browser.seen(".overview") == 1
    browser.evaluate(
        "Array.from(document.querySelectorAll('th, button, summary')).slice(0, 60).forEach((o) => o.click())"
    )
    check_quiet(browser, path)


def test_two_patches_are_read_beside_each_other(browser: Browser, make_run: MakeRun, shots: Path) -> None:
    run = make_run(tasks=1, rollouts=8, infra_share=0)
    path = write_report(run, run.directory / "report.html")
    browser.open(path.as_uri())
    choose = "(() => { const list = document.querySelector('.compare select'); list.selectedIndex = 1;"
    browser.evaluate(choose + " list.dispatchEvent(new Event('change')); list.scrollIntoView(); })()")
    assert browser.evaluate("document.querySelectorAll('.compare .sides > div > .diff').length") >= 2
    assert browser.seen(".compare .diff table.split") == 0
    browser.screenshot(shots / "patches.png")
    check_quiet(browser, path)


def test_a_link_to_a_step_opens_everything_around_it(browser: Browser, make_run: MakeRun) -> None:
    run = make_run(tasks=2)
    path = write_report(run, run.directory / "report.html")
    place = next(
        f"demo__task-001/heat-0/rollout-0{number}/4"
        for number in range(8)
        if run.task("demo__task-001").rollout(f"heat-0/rollout-0{number}").trajectory()
    )
    browser.open(f"{path.as_uri()}#{place}")
    step = f"document.getElementById('{place}')"
    assert browser.evaluate(f"{step}.open && {step}.checkVisibility()")
    assert browser.evaluate("decodeURIComponent(location.hash)") == f"#{place}"
    top = browser.evaluate(f"{step}.getBoundingClientRect().top")
    assert 0 <= top < 400


def test_searching_folds_away_what_does_not_match(browser: Browser, make_run: MakeRun) -> None:
    run = make_run(tasks=4)
    browser.open(write_report(run, run.directory / "report.html").as_uri())
    rows = (
        "Array.from(document.querySelectorAll('#task-table tbody tr:not(.total)')).filter((row) => !row.hidden).length"
    )
    assert browser.evaluate(rows) == 4
    browser.evaluate("(() => { const f = document.querySelector('input[type=search]'); f.value = 'task-002';"
                     " f.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert browser.evaluate(f"new Promise((done) => setTimeout(() => done({rows}), 300))") == 1


def test_it_can_be_read_without_its_script(browser: Browser, make_run: MakeRun) -> None:
    run = make_run(tasks=1)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    path = write_report(run, run.directory / "report.html")
    browser.evaluate("0")  # by now the events of the empty page have arrived
    browser.events.clear()
    browser.call("Page.navigate", url=path.as_uri())
    browser.wait_for("Page.loadEventFired")
    browser.call("DOM.enable")
    document = browser.call("DOM.getDocument", depth=1)["root"]["nodeId"]
    assert browser.call("DOM.querySelectorAll", nodeId=document, selector="details.rollout")["nodeIds"]


def test_it_fits_a_phone(browser: Browser, make_run: MakeRun) -> None:
    run = make_run(tasks=2)
    browser.resize(390, 844)
    browser.open(write_report(run, run.directory / "report.html").as_uri())
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_hostile_run_does_nothing(browser: Browser, make_run: MakeRun, shots: Path) -> None:
    run = make_run(tasks=2, rollouts=6, voice=HostileVoice(), patch_note=b"\xff\x00<script>alert(1)</script>")
    task = run.task(task_ids(run)[0])
    swell(task.rollout(next(one for one in task.rollouts(0) if task.rollout(one).trajectory())))
    path = write_report(run, run.directory / "report.html")
    assert path.stat().st_size < 4_000_000
    browser.open(path.as_uri(), wait=1)
    browser.click("#task-table a")
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.screenshot(shots / "hostile.png")
    check_quiet(browser, path)
    assert browser.evaluate("document.scripts.length") == 1


def test_pages_beside_a_large_report_are_quiet_too(
    browser: Browser, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "INLINE_LIMIT", 100_000)
    run = make_run(tasks=2)
    path = write_report(run, run.directory / "report.html")
    browser.open(path.as_uri())
    browser.evaluate("document.querySelector('#task-table a').click()")
    beside = path.parent / "report-files" / "demo__task-000.html"
    browser.open(beside.as_uri())
    check_quiet(browser, beside)
