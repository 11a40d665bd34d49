"""The context rule `key-facts`: one merged list of what earlier attempts found out, in place of their records."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from core.record import Config
from heats.context_rules.base import Before, Choice
from heats.context_rules.wording import alike
from summarizer.schema import Summary

Fate = Literal["confirmed", "refuted"]
_LISTS: tuple[tuple[str, Fate, Fate], ...] = (
    ("Confirmed", "confirmed", "refuted"),
    ("Refuted", "refuted", "confirmed"),
)
_LINE_CHARS = 400


@dataclass(slots=True)
class _Fact:
    """One finding, with the numbers of the attempts that support and that refute it."""

    text: str
    by: dict[Fate, set[int]] = field(default_factory=lambda: {"confirmed": set(), "refuted": set()})


class KeyFacts:
    """All rollouts read one list of confirmed facts and one of refuted ideas, merged over all attempts.

    Facts come from the summaries: hypotheses by their fate, and claims that the trajectory confirms or contradicts. The
    changes themselves are not shown but are there as files. Sources: SIFT, arXiv:2502.14922; Sticker-TTS,
    arXiv:2509.05007.
    """

    reads_summaries = True

    class Options(Config):
        """Settings.

        Attributes:
            similarity: share of common words from which two findings count as one.
            most: maximum number of lines of each list.
        """

        similarity: float = Field(0.6, gt=0, le=1)
        most: int = Field(12, ge=1)

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        parents = before.distinct(before.usable)
        summaries = [before.attempts[one].summary if one in before.attempts else None for one in parents]
        facts = merged(enumerate(summaries, start=1), self.options.similarity)
        text = "\n\n".join(self._lists(facts))
        if not text:
            return Choice(parents=tuple(before.kept))
        return Choice(parents=tuple(parents), texts=(text,), role="key-facts")

    def _lists(self, facts: Sequence[_Fact]) -> Iterator[str]:
        for title, mine, other in _LISTS:
            if lines := self._lines([one for one in facts if one.by[mine] and not one.by[other]], mine):
                yield "\n".join([f"{title}:", *lines])
        disputed = [one for one in facts if one.by["confirmed"] and one.by["refuted"]]
        if disputed:
            lines = [
                f"- {one.text} (confirmed by {_names(one.by['confirmed'])}, refuted by {_names(one.by['refuted'])})"
                for one in disputed[: self.options.most]
            ]
            yield "\n".join(["Attempts disagree on:", *lines])

    def _lines(self, facts: Sequence[_Fact], fate: Fate) -> list[str]:
        most_supported = sorted(facts, key=lambda one: -len(one.by[fate]))
        return [f"- {one.text} ({_names(one.by[fate])})" for one in most_supported[: self.options.most]]


def merged(summaries: Iterable[tuple[int, Summary | None]], similarity: float) -> list[_Fact]:
    """Findings of several summaries, each once.

    Args:
        summaries: number of the attempt, and its summary.
        similarity: share of common words from which two findings count as one.
    """
    facts: list[_Fact] = []
    for number, summary in summaries:
        for text, fate in _findings(summary) if summary is not None else ():
            known = next((one for one in facts if alike(one.text, text, similarity)), None)
            if known is None:
                known = _Fact(text)
                facts.append(known)
            known.by[fate].add(number)
    return facts


def _findings(summary: Summary) -> Iterator[tuple[str, Fate]]:
    for idea in summary.hypotheses:
        if idea.fate != "open":
            yield _line(idea.text), idea.fate
    for claim in summary.evidence:
        text = _line(f"`{claim.command}` on the {claim.tree} tree {_verb(claim.outcome)}: {claim.finding}")
        if claim.mark == "confirmed" and claim.outcome != "other":
            yield text, "confirmed"
        elif claim.mark == "contradicted":
            yield text, "refuted"


def _verb(outcome: str) -> str:
    return "shows" if outcome == "other" else outcome


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LINE_CHARS else f"{text[: _LINE_CHARS - 3]}..."


def _names(numbers: Iterable[int]) -> str:
    return ", ".join(f"attempt {number}" for number in sorted(numbers))
