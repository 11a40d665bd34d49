"""Writers: what finished tasks are worth noting.

All kinds share one mechanism and differ in their instructions, `bank.kinds`. Sources: Metacognitive Reuse
(arXiv:2509.13237) for `behaviour`, ArcMemo (2509.04439) for `concept`, TMAS (2605.10344) for `guideline` and
`experience`, Procedural Knowledge at Scale (2604.01348) for `routine`, Sleep-time Compute (2504.13171) for `notes`; the
four operations are those of Empirical-MCTS (2602.04248).
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Protocol

from pydantic import Field

from core.record import Record
from core.sanitize import for_model
from core.text import cut, fill
from heats.bank.asking import Asking, listed, nonce_of
from heats.bank.config import BankConfig
from heats.bank.entry import Entry

_MOST_CONFIRMED = 1600
"""Characters of confirmed commands in an entry; with a proposal's longest text it stays within an entry's limit."""


class Account(Record):
    """One attempt as a writer sees it: what judges may see of it, and what it did.

    Attributes:
        summary: empty if there is none.
        evidence: what the harness ran on its patch; empty if nothing.
        steps: its commands and their results, cut to fit.
        succeeded: commands that ended with exit code 0.
    """

    summary: str = ""
    evidence: str = ""
    steps: str = ""
    succeeded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A finished task, without grades: these do not exist yet, or are kept where nothing of this can read them.

    Attributes:
        statement: the task as agents see it.
        accounts: its attempts, best first.
    """

    statement: str
    accounts: tuple[Account, ...]


class EntryProposal(Record):
    """A change that a writer proposes.

    Attributes:
        op: `add` also replaces the text of an entry of this name.
        of: names of further entries that `merge` unites under this name.
        commands: commands that the text rests on.
    """

    op: Literal["add", "modify", "merge", "drop"]
    name: str = Field(min_length=1, max_length=120)
    cues: tuple[str, ...] = Field((), max_length=8)
    text: str = Field("", max_length=2000)
    of: tuple[str, ...] = Field((), max_length=8)
    commands: tuple[str, ...] = Field((), max_length=8)


class _Draft(Record):
    operations: tuple[EntryProposal, ...] = Field((), max_length=12)


class EntryWriter(Protocol):
    """Proposes changes to a bank after a task.

    Example:
        >>> class Titles:
        ...     def __init__(self, kind: str, config: BankConfig) -> None: ...
        ...     async def write(self, finished: Finished, known: Sequence[Entry], asking: Asking) -> Sequence[Proposal]:
        ...         return [Proposal(op="add", name=finished.statement[:40], text="Seen before.")]
    """

    async def write(self, finished: Finished, known: Sequence[Entry], asking: Asking) -> Sequence[EntryProposal]:
        """Return changes; what they may touch and whether they are sound is checked afterwards.

        Args:
            finished: the task.
            known: entries of this kind that exist here.
            asking: for writers that ask a model.

        Raises:
            NoAnswer, ModelError, LimitExceeded
        """
        ...


class ModelWriter:
    """A writer that asks a model.

    Args:
        kind: kind of entries.
        config: prompts and limits.
    """

    def __init__(self, kind: str, config: BankConfig) -> None:
        self._kind, self._config = kind, config

    async def write(self, finished: Finished, known: Sequence[Entry], asking: Asking) -> Sequence[EntryProposal]:
        """See `EntryWriter.write`."""
        config = self._config
        system = fill(config.system, kind=self._kind, instruction=config.kinds.get(self._kind, ""))
        statement = cut(for_model(finished.statement).strip(), config.statement_chars)
        attempts = [_shown(account, config.attempt_chars) for account in finished.accounts[: config.attempts]]
        lines = listed(known[-config.known :] if config.known else ())
        nonce = nonce_of(asking.seed, statement, *(text for one in attempts for text in one.values()))
        user = fill(config.user, nonce=nonce, statement=statement, attempts=attempts, known=lines)
        draft = await asking.ask(f"bank-{self._kind}", system, user, _Draft, _schema())
        return [_checked(proposal, finished) for proposal in draft.operations]


def _shown(account: Account, chars: int) -> dict[str, str]:
    texts = {"summary": account.summary, "evidence": account.evidence, "steps": account.steps}
    return {name: cut(for_model(text).strip(), chars) for name, text in texts.items()}


def _checked(proposal: EntryProposal, finished: Finished) -> EntryProposal:
    """Say in an entry which of its commands the record shows to have succeeded; claims alone prove nothing."""
    if not proposal.commands or proposal.op == "drop":
        return proposal
    ran = {command for account in finished.accounts for command in account.succeeded}
    worked = "; ".join(f"`{one.strip()}`" for one in proposal.commands if one.strip() and _succeeded(one, ran))
    said = f"Ran and succeeded: {cut(worked, _MOST_CONFIRMED)}." if worked else "Not confirmed by any command."
    return proposal.model_copy(update={"text": f"{proposal.text.rstrip()} {said}"})


def _succeeded(claim: str, commands: Iterable[str]) -> bool:
    """Whether it is one of these commands, all of which succeeded, or a part of a chain of `&&`.

    A part of anything else may have failed, or not have run: the exit code of `a | b`, `a; b` or `a || b` is not a's.
    """
    part = _words(claim)
    return any(
        _normal(claim) == _normal(command) or (part and list(part) in _chain(_words(command))) for command in commands
    )


def _chain(words: Sequence[str]) -> list[list[str]]:
    """The parts of a chain of `&&`; none of any other command."""
    if any(word != "&&" and set(word) <= set("();|&<>") for word in words):
        return []
    return [list(part) for sign, part in groupby(words, "&&".__ne__) if sign]


def _words(command: str) -> list[str]:
    """The words and operators of one simple line of shell; none of one that only a shell can divide."""
    if "\n" in command.strip() or any(mark in command for mark in ("`", "$(", "'&", '"&')):
        return []
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return list(lexer)
    except ValueError:  # a quote is not closed
        return []


def _normal(command: str) -> str:
    """A command with single blanks between words; its lines stay apart."""
    return "\n".join(" ".join(line.split()) for line in command.strip().splitlines())


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = _Draft.model_json_schema()
    parts: Mapping[str, Any] = schema["$defs"]
    for part in (schema, *parts.values()):
        part["required"] = list(part["properties"])
        for field in part["properties"].values():
            field.pop("default", None)
        part.pop("description", None)
    return schema
