"""`report.html`: a run as one self-contained page, safe to open whatever agents printed.

Every text goes through the sanitiser and then through Jinja2's escaping; the page's policy allows one script, by its
hash, and no external resources. A run too large for one page gets one page per task, in a folder beside it.
"""

import gc
import signal
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from importlib import metadata
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from core.sanitize import for_screen, one_line
from heats import formatting as say
from heats.report.diffs import Row
from heats.report.figures import TaskFigures
from heats.report.overview import SUCCESS_WORDS, TONES, OverviewFacts, overview
from heats.report.spending import HeatWork, sum_work, work_by_heat
from heats.report.table import RunFigures
from heats.report.task_page import PageBudget, view_task
from heats.report.timeline import by_task, drawn_events
from heats.store.events import RunEvent
from heats.store.files import slug, write_bytes
from heats.store.reader import Basis, find_basis, read_task, task_ids
from heats.store.store import RunStore

INLINE_LIMIT = 8_000_000
"""Maximum characters of task pages in the single file; above it, they become separate files."""
TASK_BUDGET = 4_000_000
COLOURED, COLOURED_OF_MANY = 200_000, 20_000
"""Maximum characters of patches to colour per task page: colouring is slow compared to everything else."""
MANY_TASKS = 24
"""Above this number, tasks are read by several processes and always get separate files."""

_MARK = b'<meta name="generator" content="heats">'
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One task's part of the report.

    Attributes:
        places: navigation targets, as (name, address).
        work: the rollouts' work, by heat.
    """

    task: str
    figures: TaskFigures
    body: Markup
    places: tuple[tuple[str, str], ...]
    work: tuple[HeatWork, ...]


def write_report(run: RunStore, path: Path) -> Path:
    """Write the report of a run, finished or not: `build_report` without returning its figures."""
    build_report(run, path)
    return path


def build_report(run: RunStore, path: Path) -> RunFigures:
    """Write the report of a run, finished or not.

    A large run's task pages go to the folder `<name>-files` beside `path`; pages left there by an earlier report are
    removed.

    Returns:
        The figures shown in it.

    Raises:
        UsageError: the directory is not a run.
        OSError: the report cannot be written.
    """
    events = list(drawn_events(run))
    tasks, basis, grouped = task_ids(run, events), find_basis(run), by_task(events)
    beside = path.with_name(f"{path.stem}-files")
    _clear(beside)
    inline = len(tasks) <= MANY_TASKS
    maker = PageMaker(run.directory, basis, _budget(len(tasks)), tuple(tasks), None if inline else beside)
    whole: list[TaskPage] = []
    thin: list[TaskPage] = []
    for page in _pages(maker, grouped):
        whole.append(page)
        thin.append(replace(page, body=Markup()))
        if inline and sum(len(one.body) for one in whole) > INLINE_LIMIT:
            inline = False
        if not inline:
            for one in whole:
                maker.write(one, beside)
            whole = []
    links = {task: f"#{slug(task)}" if inline else f"{beside.name}/{slug(task)}.html" for task in tasks}
    charges = run.charges()
    figures = RunFigures.gather(run, basis, [page.figures for page in thin], charges)
    facts = OverviewFacts(run, figures, events, links, sum_work(page.work for page in thin), charges)
    sections = [_section(page, tasks) for page in whole] if inline else []
    body = render("overview.html.j2", **overview(facts, grouped), sections=sections)
    write_bytes(path, page_html(f"heats: {run.manifest.run_id}", body).encode(), mode=0o644)
    return figures


def _clear(folder: Path) -> None:
    """Remove our own pages from a folder, and the folder if it is then empty: the name may be the user's own."""
    for page in folder.glob("*.html"):
        with page.open("rb") as file:
            ours = _MARK in file.read(1000)
        if ours:
            page.unlink()
    with suppress(OSError):
        folder.rmdir()


def _budget(tasks: int) -> PageBudget:
    if tasks > MANY_TASKS:
        return PageBudget(TASK_BUDGET, COLOURED_OF_MANY)
    return PageBudget(min(TASK_BUDGET, INLINE_LIMIT * 3 // 4 // max(tasks, 1)), COLOURED)


def _pages(maker: "PageMaker", events: Mapping[str, list[RunEvent]]) -> Iterable[TaskPage]:
    work = [(task, events.get(task, [])) for task in maker.tasks]
    if maker.beside is None:
        yield from map(maker.make, work)
        return
    with ProcessPoolExecutor(cpu_count() or 1, get_context("spawn"), begin_worker) as pool:
        yield from pool.map(maker.make, work, chunksize=4)


def begin_worker() -> None:
    """Disable garbage collection in a worker, where it takes a quarter of the time and finds nothing.

    Ctrl-C is left to the parent process; otherwise each worker would print a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(500_000)


@dataclass(frozen=True, slots=True)
class PageMaker:
    """Renders single tasks, in separate processes for large runs.

    Attributes:
        beside: folder for each part as soon as it is made; None returns the parts instead.
    """

    directory: Path
    basis: Basis
    budget: PageBudget
    tasks: tuple[str, ...]
    beside: Path | None

    def make(self, work: tuple[str, Sequence[RunEvent]]) -> TaskPage:
        """Read and render one task."""
        task, events = work
        run = RunStore(self.directory)
        facts = read_task(run, task)
        view = view_task(run, facts, self.basis, events, self.budget)
        body = render("task.html.j2", task=view, basis=self.basis)
        page = TaskPage(task, TaskFigures.of(facts, self.basis), body, view.places, work_by_heat(facts))
        if self.beside is None:
            return page
        self.write(page, self.beside)
        return replace(page, body=Markup())

    def write(self, page: TaskPage, folder: Path) -> None:
        """Write a part to a file, without syncing: it can be made again at any time."""
        if not page.body:
            return
        folder.mkdir(parents=True, exist_ok=True)
        home = f"../{folder.name.removesuffix('-files')}.html"
        crumbs = _crumbs(page, self.tasks, home, lambda task: f"{slug(task)}.html")
        body = crumbs + Markup("<main id='{}'>{}</main>").format(slug(page.task), page.body)
        html = page_html(f"{one_line(page.task, 80)} in {self.directory.name}", body)
        (folder / f"{slug(page.task)}.html").write_text(html, encoding="utf-8")


def _section(page: TaskPage, tasks: Sequence[str]) -> Markup:
    alone = len(tasks) == 1
    return render(
        "section.html.j2",
        task=page.task,
        place=slug(page.task),
        status=page.figures.ending,
        alone=alone,
        crumbs=_crumbs(page, tasks, "", lambda task: f"#{slug(task)}") if not alone else "",
        body=page.body,
    )


def _crumbs(page: TaskPage, tasks: Sequence[str], home: str, link: Callable[[str], str]) -> Markup:
    place = tasks.index(page.task)
    before, after = tasks[:place][-1:], tasks[place + 1 : place + 2]
    return render(
        "crumbs.html.j2",
        task=page.task,
        status=page.figures.ending,
        home=f"{home}#tasks",
        places=page.places,
        before=[(one, link(one)) for one in before],
        after=[(one, link(one)) for one in after],
    )


def page_html(title: str, body: Markup) -> Markup:
    """A whole page: style, script and policy around an already escaped body."""
    script = _own("report.js")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return render(
        "page.html.j2",
        title=title,
        policy=policy,
        css=_own("report.css"),
        script=script,
        body=body,
        version=_version(),
    )


def render(template: str, **values: Any) -> Markup:
    """Render a template. Every text is sanitised and escaped, except what this function itself returned."""
    return Markup(_environment().get_template(template).render(values))  # noqa: S704 - autoescaped just now


@cache
def _version() -> str:
    return metadata.version("heats")


@cache
def _own(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - our own file


def code_html(row: Row) -> Markup:
    """A row of a diff, coloured if its pieces are known."""
    if not row.pieces:
        return escape(row.text)
    parts = (f'<i class="{kind}">{escape(text)}</i>' if kind else escape(text) for kind, text in row.pieces)
    return Markup("".join(parts))  # noqa: S704 - every text was escaped just now; the classes are ours


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: for_screen(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": say.short, "line": one_line}
    environment.globals |= {
        "short": say.short,
        "size": say.size,
        "count": say.count,
        "money": say.money,
        "duration": say.duration,
        "ending": say.ending,
        "tests": say.tests,
        "tone": lambda status: TONES.get(status, ""),
        "status_words": lambda status: say.STATUS_WORDS.get(status, status),
        "words_for": SUCCESS_WORDS,
        "code": code_html,
    }
    return environment
