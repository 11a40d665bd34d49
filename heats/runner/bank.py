"""The bank in a run: what a task's rollouts read, and what is noted when it is finished.

What was read is stored before the first rollout starts, so a resumed run reads the same. What was proposed is stored
before it is applied, and applied under a key, so nothing is asked or written twice. Of a task only what judges may see
and its trajectories are used: nothing here can open a grade.
"""

import asyncio
import os
from hashlib import sha256
from itertools import count
from pathlib import Path

from agents.errors import LimitExceeded, ModelConfigError, ModelError
from agents.llm.base import Session
from agents.llm.session import in_session, session_id
from core.ids import heat_name
from core.record import Record
from core.text import cut
from heats.bank.asking import Asking, NoAnswer
from heats.bank.changes import Planner
from heats.bank.config import WRITERS
from heats.bank.entry import Entry, Reader, Scope, Source
from heats.bank.readers import Question, read_bank
from heats.bank.screening import objections
from heats.bank.store import Bank
from heats.bank.writers import Account, EntryProposal, EntryWriter, Finished
from heats.errors import HeatsError
from heats.runner.knowledge import Read, read_path
from heats.runner.rollout import TaskRun
from heats.store.files import read_record, slug, write_record
from heats.store.records import Manifest
from heats.store.store import RunStore
from summarizer.fitting import windows_of
from summarizer.record import ran_in

_LONGEST_COMMAND = 400


class WriterOutput(Record):
    """What a writer proposed: `bank/KIND-task.json`.

    Attributes:
        applied: digests of the paths of the banks that have it.
    """

    proposals: tuple[EntryProposal, ...] = ()
    scope: Scope = Scope()
    source: Source = Source()
    applied: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


async def recall(run: TaskRun, heat: int) -> None:
    """Choose the entries that the rollouts of a heat read, and store them; does nothing if they are stored.

    Raises:
        UsageError: the bank cannot be read.
        ExtraMissing, ModelError, LimitExceeded
    """
    config, path = run.services.config.bank, read_path(run.services, run.store.directory, heat)
    if not config.readers or config.path is None or read_record(path, Read) is not None:
        return
    batches = await asyncio.to_thread(Bank(Path(config.path)).batches)
    sound: list[Entry] = []
    for entry in reader_of(run).readable(batches):
        against = objections(entry)
        if against:
            text = f"entry {entry.id} of the bank is not shown: it {'; it '.join(against)}"
            run.services.events.emit("warning", task=run.task.id, text=text)
        else:
            sound.append(entry)
    most = config.entries * (run.services.config.rollouts if config.spread else 1)
    session = _session(run)
    async with in_session(run.services.summarizer_model, session):
        question = Question(statement=run.task.statement, most=most, asking=_asking(run, heat, session))
        chosen = await read_bank(question, sound, config)
    write_record(path, Read(entries=tuple(chosen)))


async def remember(run: TaskRun, heat: int | None = None) -> None:
    """Let the configured writers note what a finished task, or one of its heats, is worth.

    Does nothing for a task without a result, which resuming the run plays on. A writer that fails costs a warning,
    never the task's result; a resumed run tries again what was not applied.

    Raises:
        ModelConfigError
    """
    config, emit = run.services.config.bank, run.services.events.emit
    if config.path is None or (heat is None and run.store.result() is None):
        return
    for kind in config.writers:
        try:
            await _write(run, kind, heat)
        except ModelConfigError:
            raise
        except (HeatsError, ModelError, LimitExceeded) as error:
            emit("warning", task=run.task.id, text=f"nothing was noted in the bank ({kind}): {error}")
        except Exception as error:  # a writer of the user's own, say: the task is finished regardless
            why = f"{type(error).__name__}: {error}"
            emit("warning", task=run.task.id, text=f"nothing was noted in the bank ({kind}): {why}")


def reader_of(run: TaskRun) -> Reader:
    """The task as a reader of banks."""
    manifest = _manifest(run)
    return Reader(
        run=manifest.unique_id,
        task=run.task.id,
        repository=run.task.repository,
        commit=run.task.base_commit,
        tasks=frozenset({run.task.id, *manifest.identity.get("tasks", {})}),
        across_tasks=run.services.config.bank.across_tasks,
    )


async def _write(run: TaskRun, kind: str, heat: int | None) -> None:
    part = "task" if heat is None else heat_name(heat)
    path = run.store.directory / "bank" / f"{slug(kind)}-{part}.json"
    written = read_record(path, WriterOutput)
    if written is None:
        written = await _proposed(run, kind, heat)
        if written is None:
            return
        write_record(path, written)
    config = run.services.config.bank
    place = _digest(os.path.abspath(config.path or ""))  # noqa: ASYNC240 - asks for no file
    if place in written.applied:
        return
    planner = Planner(written.proposals, kind, written.scope, written.source, config.similar)
    # Runs may share a name: what the writer was shown and proposed tells them apart.
    made = _digest(written.source.digest, *(one.model_dump_json() for one in written.proposals))
    key = f"{run.services.run_id}/{run.task.id}/{part}/{kind}/{made}"
    bank = Bank(Path(config.path or ""))
    changes = await asyncio.to_thread(bank.apply, planner, key=key, by=kind, source=written.source)
    write_record(
        path, written.model_copy(update={"applied": (*written.applied, place), "refused": tuple(planner.refused)})
    )
    for refused in planner.refused:
        run.services.events.emit("warning", task=run.task.id, text=f"not noted in the bank: {refused}")
    run.services.events.emit("noted", task=run.task.id, writer=kind, changes=len(changes))


async def _proposed(run: TaskRun, kind: str, heat: int | None) -> WriterOutput | None:
    finished = _finished(run, heat)
    if finished is None:
        return None
    config = run.services.config.bank
    writer: EntryWriter = WRITERS.open(kind, kind, config, options=config.options, key="bank.options")
    scope = _scope_of(run, kind)
    batches = await asyncio.to_thread(Bank(Path(config.path or "")).batches)
    own = (one for one in reader_of(run).readable(batches) if (one.kind, one.scope) == (kind, scope))
    known = [one for one in own if not objections(one)]
    session = _session(run)
    try:
        async with in_session(run.services.summarizer_model, session):
            proposals = await writer.write(finished, known, _asking(run, heat or 0, session, kind))
    except NoAnswer as error:
        text = f"nothing was noted in the bank ({kind}): {error}"
        run.services.events.emit("warning", task=run.task.id, text=text)
        proposals = ()
    digest = _digest(finished.statement, *(one.model_dump_json() for one in finished.accounts))
    source = Source(run=_manifest(run).unique_id, task=run.task.id, digest=digest, verdict=_verdict(run, heat))
    return WriterOutput(proposals=tuple(proposals), scope=scope, source=source)


def _finished(run: TaskRun, heat: int | None) -> Finished | None:
    """What a writer is shown; None if no attempt was compared.

    If there are too many attempts, those in the middle of the ranking are left out.
    """
    last = next(one for one in count() if run.store.bracket(one) is None) - 1
    bracket = run.store.bracket(last if heat is None else heat)
    if bracket is None:
        return None
    names = list(dict.fromkeys((*bracket.selected, *bracket.ranking)))
    most = run.services.config.bank.attempts
    if len(names) > most:
        names = [*names[: (most + 1) // 2], *names[len(names) - most // 2 :]]
    accounts = [one for name in names if (one := _account(run, name)) is not None]
    return Finished(statement=run.task.statement, accounts=tuple(accounts)) if accounts else None


def _account(run: TaskRun, name: str) -> Account | None:
    candidate, trajectory = run.finished(name), run.store.rollout(name).trajectory()
    if candidate is None or trajectory is None:
        return None
    room = run.services.config.bank.attempt_chars
    steps = cut("\n".join(windows_of(trajectory, room, 4 * room, statement=True)), room)
    succeeded = tuple(ran.command for ran in ran_in(trajectory) if ran.exit_code == 0)
    short = tuple(command for command in succeeded if len(command) <= _LONGEST_COMMAND)
    return Account(summary=candidate.summary, evidence=candidate.evidence, steps=steps, succeeded=short)


def _verdict(run: TaskRun, heat: int | None) -> str:
    """What the task's own tests said; grades are not looked at."""
    result = run.store.result() if heat is None else None
    if result is not None:
        return result.status
    bracket = run.store.bracket(heat or 0)
    evidence = run.store.rollout(bracket.selected[0]).evidence() if bracket and bracket.selected else None
    return evidence.verdict if evidence is not None else ""


def _scope_of(run: TaskRun, kind: str) -> Scope:
    """Where new entries apply; without a known repository, only to the task."""
    task, level = run.task, run.services.config.bank.scope
    if kind == "notes" or level == "repository":
        if not task.repository:
            return Scope(level="task", of=task.id)
        return Scope(level="repository", of=task.repository, commit=task.base_commit if kind == "notes" else "")
    return Scope(level=level, of={"task": task.id, "run": _manifest(run).unique_id, "all": ""}[level])


def _manifest(run: TaskRun) -> Manifest:
    return RunStore(run.store.directory.parent.parent).manifest


def _asking(run: TaskRun, heat: int, session: Session, kind: str = "") -> Asking:
    return Asking(
        model=run.services.summarizer_model,
        ledger=run.ledger.child(f"{run.task.id}/{heat_name(heat)}/bank"),
        config=run.services.config.bank,
        seed=run.services.seed(run.task.id, heat_name(heat), "bank", kind),
        session=session,
    )


def _digest(*texts: str) -> str:
    return sha256("\x1f".join(texts).encode("utf-8", "replace")).hexdigest()[:16]


def _session(run: TaskRun) -> Session:
    return Session(id=session_id(run.services.run_id, run.task.id, "bank"), order=run.order)
