"""Noting in a bank what the finished tasks of an existing run have to teach."""

from collections.abc import Callable
from pathlib import Path

from agents.llm.ledger import Ledger
from envs.base import Task
from heats.config import HeatsConfig
from heats.importing.select import AttemptsEnv
from heats.runner.bank import remember
from heats.runner.rollout import TaskRun
from heats.runner.run import charged_to
from heats.runner.services import open_services
from heats.store.events import EventLog, RunEvent
from heats.store.files import read_record
from heats.store.reader import task_ids
from heats.store.store import RunStore


async def learn_from(directory: Path, config: HeatsConfig, ledger: Ledger, say: Callable[[str], None]) -> None:
    """Let the configured writers note every finished task of a run; no sandbox is started.

    Args:
        directory: the run.
        config: the bank, its writers and the model that they ask.
        ledger: receives the run's charges, and enforces limits.
        say: shows a warning.

    Raises:
        UsageError, RunInUse, UnknownPart, ModelConfigError, ModelUnavailable
    """
    store = RunStore.hold(directory)
    try:
        manifest = store.manifest
        events = EventLog(store.events_path)
        events.listen(lambda event: _told(event, say))
        try:
            async with open_services(manifest.run_id, config, AttemptsEnv([]), events, images=None) as services:
                with charged_to(ledger, store, store.charges()):
                    for order, name in enumerate(task_ids(store)):
                        files = store.task(name)
                        task = read_record(files.directory / "task.json", Task)
                        if task is not None and files.result() is not None:
                            await remember(TaskRun(services, task, files, ledger.child(name), order))
        finally:
            events.close()
    finally:
        store.close()


def _told(event: RunEvent, say: Callable[[str], None]) -> None:
    if event.kind == "warning":
        say(f"note: {event.data.get('text')}")
