"""What one rollout is told beside its task: the repository tool, and what was read of the bank for its task."""

from pathlib import Path

from core.ids import RolloutId, heat_name
from core.record import Record
from core.text import fill
from envs.base import Task
from heats.bank.entry import Entry
from heats.bank.prompting import dealt, prompt_of
from heats.runner.services import Services
from heats.store.files import read_record
from sandbox.repo_tool import REPO_TOOL


class Read(Record):
    """What the rollouts of a task, or of a heat, read: `bank/read-heat-0.json`."""

    entries: tuple[Entry, ...] = ()


def read_path(services: Services, directory: Path, heat: int) -> Path:
    """Where it is stored.

    Args:
        services: shared parts of the run.
        directory: the task's files.
        heat: number of the heat.
    """
    per_heat = services.config.bank.when == "heat"
    return directory / "bank" / f"read-{heat_name(heat if per_heat else 0)}.json"


def knowledge_of(services: Services, task: Task, directory: Path, rollout: str) -> str:
    """Sections of the rollout's first message; empty if there are none. Test writers read nothing of the bank.

    Args:
        services: shared parts of the run.
        task: the task.
        directory: its files.
        rollout: id of the rollout.
    """
    agent = services.config.agent
    told = fill(agent.repository_prompt, command=f"{REPO_TOOL}/repo").strip() if agent.repository_tool else ""
    return "\n\n".join(text for text in (told, _of_bank(services, task, directory, rollout)) if text)


def _of_bank(services: Services, task: Task, directory: Path, rollout: str) -> str:
    config = services.config
    if not config.bank.readers or not RolloutId.matches(rollout):
        return ""
    rollout_id = RolloutId.parse(rollout)
    read = read_record(read_path(services, directory, rollout_id.heat), Read)
    entries = dealt(read.entries, config.bank, rollout_id.index, config.rollouts) if read is not None else []
    return prompt_of(entries, config.bank, services.seed(task.id, "bank"), task.base_commit)
