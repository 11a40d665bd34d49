"""The watcher `loop-guard`: notices a rollout that goes round in circles, gives a hint, and later ends it."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field

from agents.trajectory import Step
from agents.watchers.base import AfterTurn, Say, Seen, Stop, Watcher
from core.record import Config
from core.text import cut, fill

_READERS = {"cat", "nl", "less", "more", "bat", "head", "tail", "sed"}
_CHANGES_DIRECTORY = re.compile(r"^\s*cd\s+\S+\s*(?:&&|;)\s*")
_UNDOES = re.compile(
    r"\bgit\s+(?:checkout\s+(?:\S+\s+)?(?:--\s|\.)|restore\s+(?!--staged)\S|reset\s+(?:\S+\s+)?--hard|apply\s+(?:\S+\s+)?-R"
    r"|apply\s+--reverse|stash\s+drop)"
)
_DURATION = re.compile(r"\b\d+\.\d+ ?s(?:econds?)?\b")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RepeatedTurn:
    """A turn that repeats something.

    Attributes:
        step: its step.
        what: what it repeats, as a clause.
    """

    step: int
    what: str


class LoopGuard(Watcher):
    """Counts commands that end with the same output as before, files read again unchanged, and edits undone.

    The first repetition over the limit brings a hint; `patience` more after it end the rollout. Its change is still
    collected. Source: TrimR, arXiv:2505.17155.
    """

    class Options(Config):
        """Settings.

        Attributes:
            repeats: how often the same may happen before it counts as a repetition.
            undone: how often edits may be undone, likewise.
            patience: further repetitions after the hint that end the rollout; 0 gives hints only.
            text: the hint, a template; receives `what`.
        """

        repeats: int = Field(3, ge=2)
        undone: int = Field(3, ge=1)
        patience: int = Field(3, ge=0)
        text: str

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def after_turn(self, seen: Seen) -> AfterTurn:
        """Give a hint at the first repetition, and stop after further ones."""
        turns = repetitions(seen.agent_steps, self.options)
        if not turns or turns[-1].step != seen.agent_steps[-1].id:
            return None
        hints = seen.said_by(self.name)
        if not hints:
            return Say(fill(self.options.text, what=turns[-1].what).strip())
        since = [turn for turn in turns if turn.step > hints[-1].id]
        if self.options.patience and len(since) >= self.options.patience:
            return Stop(f"{len(since)} repetitions after a hint; the last: {turns[-1].what}")
        return None


def repetitions(steps: Sequence[Step], options: LoopGuard.Options) -> list[RepeatedTurn]:
    """The turns that repeat something too often.

    Args:
        steps: the model's turns.
        options: the limits.
    """
    counts: Counter[tuple[str, str]] = Counter()
    found: list[RepeatedTurn] = []
    for step in steps:
        for kind, key, what in _acts(step):
            counts[kind, key] += 1
            if counts[kind, key] >= (options.undone if kind == "undo" else options.repeats):
                found.append(RepeatedTurn(step.id, f"{what}, {counts[kind, key]} times"))
                break
    return found


def _acts(step: Step) -> Iterator[tuple[str, str, str]]:
    """What a turn did that could be a repetition: its kind, what must be equal, and a clause that names it."""
    for call, observation in zip(step.tool_calls, step.observations, strict=False):
        text = _typed(call.arguments)
        if observation.status in ("rejected", "refused") or not text:
            continue
        shown = cut(" ".join(text.split()), _SHOWN)
        if _UNDOES.search(text):
            yield "undo", "", "edits were undone"
        file, output = read_file(text), _DURATION.sub("", observation.content)
        if file:
            yield "read", f"{file}\n{output}", f"{file} was read without having changed"
        else:
            yield "command", f"{text}\n{output}", f"`{shown}` was run and gave the same output"


def read_file(command: str) -> str:
    """The part of a file that a command only prints, such as `f.py` or `f.py 10,20p`; empty for any other command."""
    command = _CHANGES_DIRECTORY.sub("", command).strip()
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    if not words or words[0] not in _READERS or any(word in ("|", ">", ">>", "&&", ";", "<<") for word in words):
        return ""
    if any(sign in command for sign in ("|", ">", "&", ";", "<", "\n")) or (words[0] == "sed" and "-n" not in words):
        return ""
    plain = [word.removeprefix("./") for word in words[1:] if not word.startswith("-")]
    return " ".join(reversed(plain)) if plain else ""


def _typed(arguments: str) -> str:
    """A command, or what is typed into a terminal; empty for waiting and for submissions."""
    try:
        read = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(read, dict):
        return ""
    if isinstance(command := read.get("command"), str):
        return command.strip()
    keys, typed = read.get("keys"), read.get("text")
    parts = [typed if isinstance(typed, str) else "", *(map(str, keys) if isinstance(keys, list) else ())]
    return " ".join(parts).strip()
