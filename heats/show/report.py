"""`report.html`: a run as one page that needs nothing else, safe to open whatever agents printed.

Every text goes through the sanitiser and then through Jinja2's escaping; the page's policy allows one script, by its
hash, and nothing from anywhere. A run too large for one page gets a page a task in a folder beside it.
"""

import shutil
from base64 import b64encode
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib import metadata
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from heats.events import Event
from heats.files import slug, write_bytes
from heats.show import words as say
from heats.show.figures import TaskFigures
from heats.show.overview import SUCCESS_WORDS, TONES, overview
from heats.show.reading import Basis, find_basis, read_events, read_task, task_ids
from heats.show.sanitize import clean, one_line
from heats.show.table import RunFigures
from heats.show.task_view import view_task
from heats.show.timeline import by_task
from heats.store import RunStore

INLINE_LIMIT = 8_000_000
"""Characters of task pages that are put into the one file; above it they become files of their own."""
TASK_BUDGET = 4_000_000
MANY_TASKS = 24
"""With more tasks than this they are read by several processes, and always get files of their own."""

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One task's part of the report."""

    task: str
    figures: TaskFigures
    body: Markup


def write_report(run: RunStore, path: Path) -> Path:
    """Write the report of a run, finished or not.

    A large run's task pages go to the folder `<name>-files` beside `path`; one that an earlier report left there is
    replaced.

    Returns:
        `path`.

    Raises:
        UsageError: the directory holds no run.
        OSError: the report cannot be written.
    """
    events = list(read_events(run))
    tasks, basis, grouped = task_ids(run, events), find_basis(run), by_task(events)
    beside = path.with_name(f"{path.stem}-files")
    if beside.is_dir():
        shutil.rmtree(beside)
    pages = _pages(run, tasks, basis, grouped)
    inline = len(tasks) <= MANY_TASKS
    kept: list[TaskPage] = []
    figures: list[TaskFigures] = []
    for page in pages:
        figures.append(page.figures)
        kept.append(page)
        if inline and sum(len(one.body) for one in kept) > INLINE_LIMIT:
            inline = False
        if not inline:
            _write_pages(run, beside, kept)
            kept = []
    links = {task: f"#{slug(task)}" if inline else f"{beside.name}/{slug(task)}.html" for task in tasks}
    total = RunFigures.gather(run, basis, figures)
    sections = [_section(page, len(tasks) == 1) for page in kept] if inline else []
    body = render("overview.html.j2", **overview(run, total, events, grouped, links), sections=sections)
    write_bytes(path, page_html(f"heats: {run.manifest.run_id}", body).encode(), mode=0o644)
    return path


def _pages(run: RunStore, tasks: Sequence[str], basis: Basis, events: dict[str, list[Event]]) -> Iterable[TaskPage]:
    budget = min(TASK_BUDGET, INLINE_LIMIT * 3 // 4 // max(len(tasks), 1)) if len(tasks) <= MANY_TASKS else TASK_BUDGET
    work = [(task, events.get(task, [])) for task in tasks]
    make = partial(task_page, run.directory, basis, budget)
    if len(tasks) <= MANY_TASKS:
        yield from map(make, work)
        return
    with ProcessPoolExecutor(cpu_count() or 1, mp_context=get_context("spawn")) as pool:
        yield from pool.map(make, work, chunksize=4)


def task_page(directory: Path, basis: Basis, budget: int, work: tuple[str, Sequence[Event]]) -> TaskPage:
    """Read and render one task; runs in a process of its own for large runs."""
    task, events = work
    run = RunStore(directory)
    facts = read_task(run, task)
    view = view_task(run, facts, basis, events, budget)
    return TaskPage(task, TaskFigures.of(facts, basis), render("task.html.j2", task=view, basis=basis))


def _section(page: TaskPage, alone: bool) -> Markup:
    status = page.figures.status
    pill = Markup('<span class="pill {}">{}</span>').format(TONES.get(status, ""), say.STATUS_WORDS.get(status, status))
    opened = Markup(" open") if alone else ""
    return Markup(
        '<details class="task" id="{}"{}><summary>{} {}</summary><div class="inside">{}</div></details>'
    ).format(slug(page.task), opened, one_line(page.task, 200), pill, page.body)


def _write_pages(run: RunStore, folder: Path, pages: Sequence[TaskPage]) -> None:
    """Task pages as files. Written plainly: what can be made again at any time need not survive a power cut."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        back = Markup('<header class="top"><p><a href="../{}.html">All tasks</a></p><h1>{}</h1></header>').format(
            folder.name.removesuffix("-files"), one_line(page.task, 200)
        )
        body = back + Markup("<main id='{}'>{}</main>").format(slug(page.task), page.body)
        html = page_html(f"{one_line(page.task, 80)} in {run.directory.name}", body)
        (folder / f"{slug(page.task)}.html").write_text(html, encoding="utf-8")


def page_html(title: str, body: Markup) -> Markup:
    """A whole page: style, script and policy around a body that is escaped already."""
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
        version=metadata.version("heats"),
    )


def render(template: str, **values: Any) -> Markup:
    """Fill a template. Every text is sanitised and escaped; only what this function returned is left as it is."""
    return Markup(_environment().get_template(template).render(values))  # noqa: S704 - autoescaped just now


def _own(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - our own file


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": say.short, "line": one_line}
    environment.globals |= {
        "short": say.short,
        "size": say.size,
        "duration": say.duration,
        "ending": say.ending,
        "tests": say.tests,
        "tone": lambda status: TONES.get(status, ""),
        "status_words": lambda status: say.STATUS_WORDS.get(status, status),
        "words_for": SUCCESS_WORDS,
    }
    return environment
