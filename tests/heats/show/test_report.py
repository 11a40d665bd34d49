"""The report: complete, inert whatever a run contains, and within its size limit."""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile import TERMINAL, XSS, HostileVoice, swell
from markupsafe import Markup

from heats.report import report
from heats.report.report import page_html, write_report
from heats.store.records import Manifest
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]
ATTACKS = [*XSS, *TERMINAL]
URL_ATTRIBUTES = {"href", "src", "action", "formaction", "data", "srcdoc", "poster", "background", "cite", "xlink:href"}
TAGS = {
    "a", "b", "body", "button", "circle", "code", "details", "div", "footer", "g", "h1", "h2", "h3", "h4", "head",
    "header", "html", "i", "input", "li", "line", "main", "meta", "nav", "output", "p", "path", "polyline", "pre",
    "rect", "script", "section", "span", "style", "summary", "svg", "table", "tbody", "td", "text", "th", "thead",
    "title", "tr", "ul",
}  # fmt: skip


class Page(HTMLParser):
    """The elements of a page, and everything in it that could act."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.acts: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._open.append(tag)
        for name, value in attrs:
            if name.startswith("on") or ("javascript:" in (value or "").lower() and name != "content"):
                self.acts.append(f"{tag} {name}={value}")
            if name in URL_ATTRIBUTES:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        given = dict(attrs)
        if tag == "meta" and given.get("http-equiv"):
            self.policy = given.get("content") or ""
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._open.append("/")


def check_inert(path: Path) -> Page:
    """A page has only our tags, one script allowed by the policy, and no link out of the report."""
    page = Page(path)
    assert page.tags <= TAGS
    assert page.acts == []
    (script,) = page.scripts
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert page.policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert all(
        re.fullmatch(r"#[\w./-]+|[\w.-]+-files/[\w.-]+\.html|\.\./[\w.-]+\.html#tasks|[\w.-]+\.html", link)
        for link in page.links
    )
    text = path.read_bytes()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", text)
    assert not re.search("[\x80-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufeff]", text.decode())
    return page


def test_every_part_of_a_run_is_there_and_every_link_leads_somewhere(make_run: MakeRun) -> None:
    run = make_run()
    page = check_inert(write_report(run, run.directory / "report.html"))
    assert len(page.ids) == len(set(page.ids))
    targets = {f"#{anchor}" for anchor in page.ids}
    assert set(page.links) <= targets
    for rollout in ("heat-0/rollout-00", "heat-1/rollout-07"):
        assert f"demo__task-001/{rollout}" in page.ids
    assert any(re.fullmatch(r"demo__task-001/heat-0/r0-m\d", anchor) for anchor in page.ids)
    assert any(re.fullmatch(r"demo__task-001/heat-0/rollout-0\d/3", anchor) for anchor in page.ids)


def test_one_task_is_shown_unfolded_and_titled_by_its_verdict(make_run: MakeRun) -> None:
    run = make_run(tasks=1)
    html = write_report(run, run.directory / "report.html").read_text()
    assert '<details class="task" id="demo__task-000" open>' in html
    assert re.search(r"<h1>demo__task-000: (solved|not solved|no patch)</h1>", html)
    assert "All tasks" not in html


def test_a_hostile_run_renders_inert(make_run: MakeRun) -> None:
    run = make_run(tasks=2, rollouts=6, voice=HostileVoice(), patch_note=b"\xff\xfe\x00<script>")
    path = write_report(run, run.directory / "report.html")
    page = check_inert(path)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in path.read_text()
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("first", range(0, len(ATTACKS), 5))
def test_each_attack_in_every_field_renders_inert(make_run: MakeRun, first: int) -> None:
    attacks = "".join(ATTACKS[first : first + 5])
    run = make_run(tasks=1, rollouts=3, keep=1, steps=2, voice=lambda text: attacks + text)
    check_inert(write_report(run, run.directory / "report.html"))


def test_attacks_in_names_of_the_run_render_inert(tmp_path: Path) -> None:
    manifest = Manifest(run_id=XSS[0], command=XSS[2], identity={"tasks": {XSS[35]: "x"}}, about={})
    run = RunStore.open(tmp_path / "run", manifest)
    path = write_report(run, tmp_path / "out.html")
    check_inert(path)
    assert "not finished" in path.read_text()


def test_a_run_in_the_middle_can_be_shown(make_run: MakeRun) -> None:
    run = make_run(tasks=2)
    task = run.task("demo__task-001").directory
    for name in (
        "result.json",
        "baseline.json",
        "task.json",
        "heat-1/tournament.json",
        "heat-1/rollout-02/outcome.json",
    ):
        (task / name).unlink()
    (task / "heat-1/rollout-03/summary.json").write_text("{")
    with run.events_path.open("ab") as events:
        events.write(b'{"seq": 99, "torn')
    html = write_report(run, run.directory / "report.html").read_text()
    assert "not finished" in html


def test_huge_fields_are_cut_and_the_cut_is_stated(make_run: MakeRun) -> None:
    run = make_run(tasks=1, rollouts=2, keep=1, steps=3)
    swell(run.task("demo__task-000").rollout("heat-0/rollout-00"))
    path = write_report(run, run.directory / "report.html")
    html = path.read_text()
    assert path.stat().st_size < 1_000_000
    assert "characters omitted ...]" in html
    assert "the end" in html
    assert "are not shown here" in html


def test_a_large_report_gets_a_page_a_task_beside_it(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "INLINE_LIMIT", 100_000)
    run = make_run(tasks=3)
    stale = run.directory / "report-files" / "gone.html"
    stale.parent.mkdir()
    stale.write_text(page_html("old", Markup()))
    theirs = stale.with_name("theirs.html")
    theirs.write_text("<html>made by somebody else</html>")
    path = write_report(run, run.directory / "report.html")
    front = check_inert(path)
    beside = [link for link in front.links if not link.startswith("#")]
    assert beside == [f"report-files/demo__task-00{number}.html" for number in range(3)]
    assert not stale.exists()
    assert theirs.exists(), "a folder of that name may be somebody's own"
    for link in beside:
        page = check_inert(path.parent / link)
        assert {link for link in page.links if link.startswith("#")} <= {f"#{anchor}" for anchor in page.ids}
        assert "../report.html#tasks" in page.links


@pytest.mark.slow
def test_many_tasks_are_rendered_by_several_processes_in_order(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MANY_TASKS", 2)
    run = make_run(tasks=5, rollouts=2, keep=1, steps=2)
    front = check_inert(write_report(run, run.directory / "report.html"))
    beside = [link for link in front.links if not link.startswith("#")]
    assert beside == [f"report-files/demo__task-00{number}.html" for number in range(5)]


def test_writing_it_again_gives_the_same_bytes(make_run: MakeRun) -> None:
    run = make_run()
    first = write_report(run, run.directory / "report.html").read_bytes()
    assert write_report(run, run.directory / "report.html").read_bytes() == first
