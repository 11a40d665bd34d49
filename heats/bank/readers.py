"""Readers: which entries of a bank a task reads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.record import Record
from core.registry import optional_module
from core.sanitize import for_model
from core.text import cut, fill
from heats.bank.asking import Asking, NoAnswer, listed, nonce_of
from heats.bank.config import READERS, BankConfig
from heats.bank.entry import Entry

_WORD = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]+|\d+")
_COMMON = (
    "an and are as at be but by can do does for from get has have if in into is it its not of on or should so that the "
    "then there this to use was when which will with you"
)
_COMMON_WORDS = frozenset(_COMMON.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a bank.

    Attributes:
        statement: the task.
        most: maximum number of entries.
        asking: for readers that ask a model.
    """

    statement: str
    most: int
    asking: Asking


class EntryReader(Protocol):
    """Chooses entries for a task.

    Example:
        >>> class Newest:
        ...     def __init__(self, config: BankConfig) -> None: ...
        ...     async def read(self, question: Question, entries: Sequence[Entry]) -> Sequence[Entry]:
        ...         return entries[::-1]
    """

    async def read(self, question: Question, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return entries worth reading, the best first.

        Args:
            question: the task.
            entries: those that it may read, oldest first.
        """
        ...


class OfRepository:
    """The entries on the task's repository, whatever the issue: `notes` first, then the best supported."""

    def __init__(self, config: BankConfig) -> None: ...

    async def read(self, question: Question, entries: Sequence[Entry]) -> Sequence[Entry]:
        """See `EntryReader.read`."""
        here = [entry for entry in entries if entry.scope.level == "repository"]
        return sorted(here, key=lambda entry: (entry.kind != "notes", -entry.supported, -entry.support))


class Bm25:
    """Entries with words in common with the task, by BM25 over names, cues and texts (Robertson and Zaragoza, 2009)."""

    def __init__(self, config: BankConfig) -> None:
        self._library = optional_module("bm25s", "the bank reader bm25")

    async def read(self, question: Question, entries: Sequence[Entry]) -> Sequence[Entry]:
        """See `EntryReader.read`."""
        texts = [words_of(" ".join((entry.name, *entry.cues, entry.text))) for entry in entries]
        asked = words_of(question.statement)
        if not asked or not any(texts):
            return ()
        index = self._library.BM25()
        index.index(texts, show_progress=False)
        found, scores = index.retrieve([asked], k=len(entries), show_progress=False)
        ranked = sorted(zip(scores[0].tolist(), found[0].tolist(), strict=True), key=lambda one: (-one[0], one[1]))
        return [entries[place] for score, place in ranked if score > 0]


class _Picked(Record):
    ids: tuple[str, ...] = ()


class Pick:
    """Entries that a model picks from their names and cues (ArcMemo, arXiv:2509.04439)."""

    def __init__(self, config: BankConfig) -> None:
        self._config = config

    async def read(self, question: Question, entries: Sequence[Entry]) -> Sequence[Entry]:
        """See `EntryReader.read`; empty if the model gives no usable answer."""
        shown = {entry.id: entry for entry in entries[-self._config.known :]}
        if not shown:
            return ()
        statement = cut(for_model(question.statement).strip(), self._config.statement_chars)
        lines = listed(list(shown.values()), 120)
        nonce = nonce_of(question.asking.seed, statement, *(line["id"] for line in lines))
        user = fill(self._config.pick_user, nonce=nonce, statement=statement, known=lines, most=question.most)
        ids = {"type": "array", "items": {"type": "string", "enum": list(shown)}, "maxItems": question.most}
        schema = {"type": "object", "properties": {"ids": ids}, "required": ["ids"], "additionalProperties": False}
        try:
            picked = await question.asking.ask("bank-pick", fill(self._config.pick_system), user, _Picked, schema)
        except NoAnswer:
            return ()
        return [shown[one] for one in dict.fromkeys(picked.ids) if one in shown]


def words_of(text: str) -> list[str]:
    """Words of a text in lower case; identifiers are divided at underscores and capitals."""
    return [
        word for word in (found.lower() for found in _WORD.findall(text)) if word not in _COMMON_WORDS and len(word) > 1
    ]


async def read_bank(question: Question, entries: Sequence[Entry], config: BankConfig) -> list[Entry]:
    """The entries that the configured readers choose, without repetition, in their order.

    Args:
        question: the task.
        entries: those that it may read.
        config: the readers.

    Raises:
        ExtraMissing, ModelError, LimitExceeded
    """
    found: dict[str, Entry] = {}
    for name in config.readers:
        reader: EntryReader = READERS.open(name, config, options=config.options, key="bank.options")
        rest = [entry for entry in entries if entry.id not in found]
        for entry in (await reader.read(question, rest))[: question.most - len(found)]:
            found[entry.id] = entry
    return list(found.values())
