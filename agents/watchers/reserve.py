"""The watcher `reserve`: says what is left, and leaves room to finish."""

import re

from pydantic import Field

from agents.watchers.base import AfterTurn, Say, Seen, Watcher
from core.record import Config
from core.text import fill

_ROUNDING = 1e-9
_SAID = re.compile(r"(\d+) %")


class Reserve(Watcher):
    """Says what is left when certain shares of the tightest limit are left; the last time, to finish.

    Sources: Elastic Reasoning, arXiv:2505.05315; Plan and Budget, arXiv:2505.16122.
    """

    class Options(Config):
        """Settings.

        Attributes:
            at: shares left at which to say so.
            room: number of replies kept for finishing.
            text: the message, a template; receives `percent`, `kind` (the tightest limit), `turns` and `finish`
                (whether it is time to finish). It must contain `{{ percent }} %`, by which the watcher knows what it
                has said.
        """

        at: tuple[float, ...] = (0.5, 0.2)
        room: int = Field(4, ge=1)
        text: str

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def after_turn(self, seen: Seen) -> AfterTurn:
        """Say what is left, once for each share."""
        if not seen.left:
            return None
        kind, share = min(seen.left.items(), key=lambda item: item[1])
        turns = len(seen.agent_steps) + seen.turns_left
        last = max([self.options.room / turns if turns else 0.0, *self.options.at[-1:]])
        marks = sorted({*self.options.at[:-1], last}, reverse=True)
        due = [mark for mark in marks if share <= mark + _ROUNDING and mark < self._said(seen)]
        if not due:
            return None
        told = {"percent": round(100 * share), "kind": kind, "turns": seen.turns_left}
        return Say(fill(self.options.text, finish=share <= marks[-1] + _ROUNDING, **told).strip())

    def _said(self, seen: Seen) -> float:
        """The share that was left when this watcher last said something."""
        texts = [found[1] for step in seen.said_by(self.name) if (found := _SAID.search(step.content))]
        return int(texts[-1]) / 100 if texts else 2.0
