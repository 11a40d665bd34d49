"""Match commands as models quote them, abbreviated and with seemingly irrelevant parts left out."""

import json
import re
import shlex
from collections.abc import Sequence
from typing import Protocol, TypeVar


class _HasText(Protocol):
    @property
    def command(self) -> str: ...


R = TypeVar("R", bound=_HasText)

_ELLIPSIS = re.compile(r"\s*(?:\[?\.{3,}\]?|…)\s*")
_REMARK = re.compile(r"\s+\([^()]*\)$")
"""A remark that a model adds to a quoted command, such as `(with the change)`."""
_WORD = re.compile(r"[\w./:=@\[\]-]+")
_NOISE = frozenset(
    shlex.split("cd tail head echo 2 1 n -n q -q v -v python python3 -m set -o pipefail export timeout env")
)


def likeness(claimed: str, actual: str) -> float:
    """Estimate the probability that a quoted command is the one that ran, from 0 to 1."""
    one, other = _plain(claimed), _plain(actual)
    if not one or not other:
        return 0.0
    if one == other:
        return 1.0
    if (bare := _REMARK.sub("", one)) and bare != one:
        return likeness(bare, actual)
    if (len(one) >= 4 and one in other) or (len(other) >= 4 and other in one):
        return 0.99
    parts = [part for part in _ELLIPSIS.split(one) if part]
    if len(parts) > 1 and _in_order(parts, other):
        return 0.95
    return 0.9 * _shared(one, other)


def narrowed(claimed: str, runs: Sequence[R]) -> Sequence[R]:
    """Select the runs of one call that a quoted command refers to; all if it does not distinguish them."""
    if len(runs) < 2:
        return runs
    one = _plain(claimed)
    if sum(_plain(run.command) in one for run in runs) > 1:
        return runs
    scores = [likeness(claimed, run.command) for run in runs]
    best = max(scores)
    return [run for run, score in zip(runs, scores, strict=True) if score >= best - 0.001] if best >= 0.5 else runs


def _in_order(parts: Sequence[str], text: str) -> bool:
    at = 0
    for part in parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def _shared(one: str, other: str) -> float:
    """Fraction of one command's significant words that also occur in the other."""
    words, there = _words(one), _words(other)
    common = words & there
    if not any(len(word) >= 4 for word in common):
        return 0.0
    return len(common) / len(words)


def _words(text: str) -> set[str]:
    return {word.strip(".") for word in _WORD.findall(text)} - _NOISE - {""}


def _plain(text: str) -> str:
    """Normalize a command: no line breaks, prompts, fences or other characters that do not matter to a shell."""
    if text.lstrip().startswith("{"):
        text = _from_json(text)
    text = " ".join(text.replace("\\\n", " ").split()).strip("`$ ;")
    return re.sub(r"\s*(?:<Enter>|⏎|\\n)$", "", text)


def _from_json(text: str) -> str:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        return text
    values = [arguments.get(key) for key in ("command", "text", "keystrokes")] if isinstance(arguments, dict) else []
    return next((value for value in values if isinstance(value, str)), text)
