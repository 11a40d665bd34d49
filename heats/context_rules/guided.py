"""The context rule `guided`: fresh rollouts are told which strategies were used, and to take another."""

from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from core.record import Config
from heats.context_rules.base import Before, Choice
from heats.context_rules.wording import alike, brief
from summarizer.schema import Summary


class Guided:
    """Most rollouts read the K kept attempts; the fresh ones read only a list of strategies to avoid.

    A strategy is the files an attempt changed and its first decision, without the details that could mislead. Source:
    TMAS, arXiv:2605.10344, whose epsilon is `refine.fresh_share`.
    """

    reads_summaries = True
    tells_fresh = True

    class Options(Config):
        """Settings.

        Attributes:
            chars: maximum characters of one strategy.
            similarity: share of common words from which two strategies count as one.
        """

        chars: int = Field(240, ge=40)
        similarity: float = Field(0.6, gt=0, le=1)

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        if not before.fresh:
            return Choice(parents=tuple(before.kept))
        found: Counter[str] = Counter()
        for strategy in self._strategies(before):
            known = next((one for one in found if alike(one, strategy, self.options.similarity)), strategy)
            found[known] += 1
        if not found:
            return Choice()
        lines = [f"- {text}{f' ({count} attempts)' if count > 1 else ''}" for text, count in found.most_common()]
        return Choice(texts=("\n".join(["Strategies used so far:", *lines]),), role="guided")

    def _strategies(self, before: Before) -> Iterator[str]:
        for name in before.usable:
            summary = before.attempts[name].summary if name in before.attempts else None
            if summary is not None and (text := self._strategy(summary)):
                yield text

    def _strategy(self, summary: Summary) -> str:
        decided = summary.decisions[0] if summary.decisions else summary.progress
        files = ", ".join(summary.facts.files[:3])
        return brief(f"{files}: {decided}" if files and decided else files or decided, self.options.chars)
