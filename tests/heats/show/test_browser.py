"""The report in a real browser: it works, complains of nothing and asks for nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Browser, find_chromium
from hostile import HostileVoice

from heats.show import report
from heats.show.report import write_report
from heats.store import RunStore

MakeRun = Callable[..., RunStore]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(find_chromium() is None, reason="needs a headless Chromium")]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as opened:
        yield opened


def check_quiet(browser: Browser, path: Path) -> None:
    """No message, no policy violation, and no request but for the page's own file."""
    assert browser.complaints() == []
    assert all(url.split("#")[0] == path.as_uri() for url in browser.requests())


def test_clicking_through_a_report_is_quiet(browser: Browser, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=3)
    path = write_report(run, run.directory / "report.html")
    browser.open(path.as_uri())
    for dark in (False, True):
        browser.dark(dark)
        for name, place in [("overview", ""), ("bracket", "demo__task-001/heat-1"), ("diff", "demo__task-001"),
                            ("trajectory", "demo__task-001/heat-1/rollout-00/3")]:  # fmt: skip
            browser.evaluate(f"location.hash = {place!r}")
            shot = browser.screenshot(tmp_path / f"{name}-{'dark' if dark else 'light'}.png")
            assert shot.stat().st_size > 10_000
    browser.evaluate(
        "Array.from(document.querySelectorAll('th, button, summary')).slice(0, 60).forEach((one) => one.click())"
    )
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
    browser.call("Page.navigate", url=path.as_uri())
    browser.call("DOM.enable")
    document = browser.call("DOM.getDocument", depth=1)["root"]["nodeId"]
    assert browser.call("DOM.querySelectorAll", nodeId=document, selector="details.rollout")["nodeIds"]


def test_it_fits_a_phone(browser: Browser, make_run: MakeRun) -> None:
    run = make_run(tasks=2)
    browser.resize(390, 844)
    browser.open(write_report(run, run.directory / "report.html").as_uri())
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_hostile_run_does_nothing(browser: Browser, make_run: MakeRun) -> None:
    run = make_run(tasks=2, rollouts=6, voice=HostileVoice(), patch_note=b"\xff\x00<script>alert(1)</script>")
    path = write_report(run, run.directory / "report.html")
    browser.open(path.as_uri(), wait=1)
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
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
