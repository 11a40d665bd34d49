"""Export rollouts and matches as data for training: SFT conversations, preference pairs and rows for a critic.

The columns are those that TRL and the Hugging Face `datasets` library read as conversational data: `messages` with
`tools`; `prompt`, `chosen` and `rejected`; `prompt`, `completion` and `label`. Further columns say where a row comes
from, so that rows can be grouped, filtered and joined.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from agents.conversation import conversation_of, messages_of
from agents.llm.base import Message
from core.ids import RolloutId
from envs.base import EndState
from heats.store.files import write_bytes
from heats.store.reader import Basis, RolloutFacts, TaskFacts, find_basis, read_task, statement, task_ids
from heats.store.store import RunStore
from summarizer.render import render
from tournament.base import Match

Row = dict[str, Any]
"""One line of a file."""

_SUMMARY_CHARS = 6000


def export_training(run: RunStore, directory: Path) -> list[Path]:
    """Write `training/rollouts.jsonl`, `sft.jsonl`, `preferences.jsonl` and `critic.jsonl`.

    Success is what the hidden tests say or, in a run without grades, a `verified` patch. Without either, only
    `rollouts.jsonl` has rows, and their `reward` is null. Failed infrastructure gives no row.

    - `rollouts.jsonl`: every rollout with its conversation and reward, grouped by `task` and `heat`.
    - `sft.jsonl`: those that succeeded, and whose agent held a single conversation.
    - `preferences.jsonl`: for each match, the patch of a contestant that succeeded over one that failed.
    - `critic.jsonl`: every rollout's summary and patch, labelled with its success.

    Returns:
        The files written.
    """
    basis = find_basis(run)
    rollouts: list[Row] = []
    pairs: list[Row] = []
    critic: list[Row] = []
    for task in (read_task(run, one) for one in task_ids(run)):
        rollouts += _rollouts(task, basis)
        pairs += _pairs(task, basis)
        critic += _critic(task, basis)
    files = {
        "rollouts": rollouts,
        "sft": [row for row in rollouts if row["reward"] == 1.0 and _is_one_conversation(row["messages"])],
        "preferences": pairs,
        "critic": critic,
    }
    return [_write(directory / "training" / f"{name}.jsonl", rows) for name, rows in files.items()]


def _write(path: Path, rows: Iterable[Row]) -> Path:
    write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode(), mode=0o644)
    return path


def _rollouts(task: TaskFacts, basis: Basis) -> Iterator[Row]:
    for one in attempts(task):
        trajectory = task.store.rollout(one.id).trajectory()
        if trajectory is None:
            continue
        asked = conversation_of(trajectory)
        messages, tools = asked if asked is not None else (messages_of(trajectory)[0], ())
        schemas = [
            {"type": "function", "function": {key: getattr(tool, key) for key in ("name", "description", "parameters")}}
            for tool in tools
        ]
        passed = one.passed(basis)
        yield {
            "messages": [_plain(message) for message in messages],
            "tools": json.dumps(schemas) if schemas else None,
            "reward": None if passed is None else float(passed),
            **_origin(task, one),
            "parents": list(trajectory.parents),
            "agent": trajectory.agent,
            "model": trajectory.model,
            "exit": one.outcome.exit if one.outcome is not None else None,
            "selected": one.id == task.selected,
        }


def _is_one_conversation(messages: Sequence[Message]) -> bool:
    """Whether no system message follows another message: agents with subagents or side questions hold several
    conversations, which the trajectory has in the order of their requests."""
    roles = [message["role"] == "system" for message in messages]
    return roles == sorted(roles, reverse=True)


def _pairs(task: TaskFacts, basis: Basis) -> Iterator[Row]:
    facts = {one.id: one for one in attempts(task)}
    for heat, bracket in enumerate(task.brackets):
        for match in () if bracket is None else bracket.matches:
            known = [facts[name] for name in match.contestants if name in facts]
            for better, worse in permutations(known, 2):
                if better.passed(basis) and worse.passed(basis) is False and _patch(task, worse):
                    yield _pair(task, heat, match, better, worse)


def _pair(task: TaskFacts, heat: int, match: Match, better: RolloutFacts, worse: RolloutFacts) -> Row:
    """A preference between two contestants, with what the tournament thought of them."""
    choices = [vote.choice for vote in match.votes]
    reasons = [vote.reason for vote in match.votes if vote.reason and vote.choice == better.id]
    return {
        "prompt": _asked(task),
        "chosen": _answer(_patch(task, better)),
        "rejected": _answer(_patch(task, worse)),
        "task": task.id,
        "heat": heat,
        "match": match.id,
        "chosen_rollout": better.id,
        "rejected_rollout": worse.id,
        "chosen_votes": choices.count(better.id),
        "rejected_votes": choices.count(worse.id),
        "winner": match.winner,
        "decided_by": match.decided_by,
        "reasons": reasons,
    }


def _critic(task: TaskFacts, basis: Basis) -> Iterator[Row]:
    """Label each attempt that has a patch."""
    scores = {name: score for bracket in task.brackets if bracket for name, score in bracket.scores.items()}
    for one in attempts(task):
        passed, patch = one.passed(basis), _patch(task, one)
        if passed is None or not patch:
            continue
        summary = task.store.rollout(one.id).summary()
        said = render(summary, _SUMMARY_CHARS) if summary is not None else ""
        yield {
            "prompt": _asked(task),
            "completion": _answer("\n\n".join(filter(None, [said, patch]))),
            "label": passed,
            **_origin(task, one),
            "summary": said,
            "patch": patch,
            "score": scores.get(one.id),
        }


def attempts(task: TaskFacts) -> Iterator[RolloutFacts]:
    """Finished rollouts that the model or the machine did not fail."""
    return (one for one in task.rollouts() if one.outcome is not None and not one.infrastructure_failed)


def _origin(task: TaskFacts, one: RolloutFacts) -> Row:
    heat = RolloutId.parse(one.id).heat
    return {"task": task.id, "rollout": one.id, "heat": heat, "group": f"{task.id}/heat-{heat}"}


def _patch(task: TaskFacts, one: RolloutFacts) -> str:
    """The patch as text; empty if there is none, or if an end state was submitted."""
    patch = task.store.rollout(one.id).patch()
    return "" if isinstance(patch, EndState) else patch.data.decode("utf-8", "replace")


def _asked(task: TaskFacts) -> list[Message]:
    first = next(task.rollouts(), None)
    trajectory = task.store.rollout(first.id).trajectory() if first is not None else None
    return [{"role": "user", "content": statement(task.store, trajectory)}]


def _answer(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def _plain(message: Message) -> Message:
    """A message with text for its content, which chat templates can render."""
    return {**message, "content": message.get("content") or ""}
