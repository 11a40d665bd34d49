"""Settings of the bank. Their values and prompts are in `configs/default.yaml` under `bank:`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from core.errors import UnknownPart
from core.record import Config
from core.registry import Registry
from core.text import checked_template
from heats.bank.entry import ScopeLevel

READERS = Registry(
    "bank reader",
    {
        "repository": "heats.bank.readers:OfRepository",
        "bm25": "heats.bank.readers:Bm25",
        "pick": "heats.bank.readers:Pick",
    },
)
KINDS = ("behaviour", "concept", "guideline", "experience", "routine", "notes")
WRITERS = Registry("bank writer", dict.fromkeys(KINDS, "heats.bank.writers:ModelWriter"))

_VARIABLES: Mapping[str, frozenset[str]] = {
    "system": frozenset({"kind", "instruction"}),
    "user": frozenset({"nonce", "statement", "attempts", "known"}),
    "repair": frozenset({"error"}),
    "pick_system": frozenset(),
    "pick_user": frozenset({"nonce", "statement", "known", "most"}),
    "prompt": frozenset({"nonce", "entries", "commit"}),
    "explore": frozenset({"repository"}),
}


class BankConfig(Config):
    """What earlier work noted: entries that attempts read, and that finished tasks write. Off without a `path`.

    Attributes:
        path: the bank, a file of JSON lines; created by the first writer.
        readers: what chooses entries for a task, in order: `repository` (those on the task's repository, whatever the
            issue), `bm25` (by words in common with the issue), `pick` (chosen by a model); or `module:Class`.
        writers: what finished tasks write: `behaviour`, `concept`, `guideline`, `experience`, `routine`, `notes`; or
            `module:Class`.
        when: write after each `task`, or also after each `heat`, whose successor then reads it.
        scope: where entries of finished tasks apply; `notes` always apply to their repository.
        across_tasks: tasks of a run may read what was learnt from other tasks of the same run. They are then no longer
            independent, and are played one after another.
        entries: maximum number of entries that a rollout reads.
        chars: maximum number of characters of them all.
        spread: kinds whose entries are dealt out, so that different rollouts read different ones.
        attempts: maximum number of attempts that a writer is shown.
        attempt_chars: maximum number of characters of each.
        statement_chars: maximum number of characters of the issue that a writer or `pick` is shown.
        known: maximum number of existing entries that a writer or `pick` is shown.
        similar: share of words in common (Jaccard) from which a new entry counts as a known one.
        temperature: of writers and of `pick`; None leaves the server's default.
        max_tokens: maximum tokens of one reply.
        repairs: additional attempts after a reply that does not match the schema.
        kinds: what writers of each kind are to note.
        system: Jinja2 template of a writer's rules; receives `kind` and `instruction`.
        user: Jinja2 template of a writer's material; receives `nonce`, `statement`, `attempts`, `known`.
        repair: Jinja2 template; receives `error`.
        pick_system: Jinja2 template of the rules of `pick`, without variables.
        pick_user: Jinja2 template; receives `nonce`, `statement`, `known` and `most`.
        prompt: Jinja2 template of what an attempt reads; receives `nonce`, `entries` and `commit`.
        explore: Jinja2 template of the task of `heats learn --repo`; receives `repository`.
    """

    path: str | None = None
    readers: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    when: Literal["task", "heat"] = "task"
    scope: ScopeLevel = "repository"
    across_tasks: bool = False
    entries: int = Field(6, ge=1)
    chars: int = Field(4000, ge=200)
    spread: tuple[str, ...] = ("routine",)
    attempts: int = Field(4, ge=1)
    attempt_chars: int = Field(16_000, ge=500)
    statement_chars: int = Field(6000, ge=200)
    known: int = Field(40, ge=0)
    similar: float = Field(0.8, gt=0, le=1)
    temperature: float | None = Field(0.3, ge=0)
    max_tokens: int = Field(8192, gt=0)
    repairs: int = Field(1, ge=0)
    options: Mapping[str, Any] = {}
    """Settings of your own reader or writer, which declares them as `Options`."""
    kinds: Mapping[str, str]
    system: str
    user: str
    repair: str
    pick_system: str
    pick_user: str
    prompt: str
    explore: str

    @field_validator(*_VARIABLES)
    @classmethod
    def _fits(cls, value: str, info: Any) -> str:
        return checked_template(value, _VARIABLES[str(info.field_name)])

    @model_validator(mode="after")
    def _known_parts(self) -> "BankConfig":
        try:
            for reader in self.readers:
                READERS.check(reader)
            for writer in self.writers:
                WRITERS.check(writer)
        except UnknownPart as error:
            raise ValueError(str(error)) from None
        if (self.readers or self.writers) and not self.path:
            raise ValueError("readers and writers need a file: set bank.path")
        return self
