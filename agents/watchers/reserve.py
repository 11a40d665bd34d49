"""The watcher `reserve`: says what is left, and leaves room to finish."""

import math
import re
from typing import Annotated

from pydantic import Field, field_validator

from agents.watchers.base import AfterTurn, Say, Seen, Watcher
from core.record import Config
from core.text import fill

_ROUNDING = 1e-9
_PERCENT = "{{ percent }} %"


class Reserve(Watcher):
    """Says what is left when certain shares of the tightest limit are left; the last time, to finish.

    Sources: Elastic Reasoning, arXiv:2505.05315; Plan and Budget, arXiv:2505.16122.
    """

    class Options(Config):
        """Settings.

        Attributes:
            at: shares left at which to say so; the smallest is the time to finish.
            room: number of replies kept for finishing, if these are a larger share.
            text: the message, a template; receives `percent`, `kind` (the tightest limit), `turns` and `finish`
                (whether it is time to finish). It must contain `{{ percent }} %`, by which the watcher knows what it
                has said.
        """

        at: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.5, 0.2)
        room: int = Field(4, ge=1)
        text: str

        @field_validator("text")
        @classmethod
        def _says_percent(cls, value: str) -> str:
            if _PERCENT not in value:
                raise ValueError(f"must contain {_PERCENT}")
            return value

    def __init__(self, *, options: Options) -> None:
        self.options = options
        before = re.split(r"[}\n]", options.text.lstrip().partition(_PERCENT)[0])[-1]
        self._said_before = re.compile(rf"(?m){re.escape(before) or '^'}(\d+) %")

    def after_turn(self, seen: Seen) -> AfterTurn:
        """Say what is left, once for each share."""
        if not seen.left:
            return None
        kind, share = min(seen.left.items(), key=lambda item: item[1])
        turns = sum(not step.copied for step in seen.agent_steps) + seen.turns_left
        last = max(self.options.room / turns if turns else 0.0, min(self.options.at, default=0.0))
        marks = {last, *(mark for mark in self.options.at if mark > last)}
        if not any(share <= mark + _ROUNDING and mark < self._said(seen) for mark in marks):
            return None
        percent = math.floor(100 * share + _ROUNDING)  # rounded up, it would be above the mark, which is then due again
        told = {"percent": percent, "kind": kind, "turns": seen.turns_left}
        return Say(fill(self.options.text, finish=share <= last + _ROUNDING, **told).strip())

    def _said(self, seen: Seen) -> float:
        """The share that was left when this watcher last said something."""
        texts = [found[1] for step in seen.said_by(self.name) if (found := self._said_before.search(step.content))]
        return int(texts[-1]) / 100 if texts else 2.0
