"""Several proposals at turns that matter; the best is acted on.

Sources: GTA1 (arXiv:2507.05791) for a judge over several proposals a step; CATTS (2602.12276) for asking it only where
the proposals disagree.
"""

import json
import random
import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from agents.choose.base import Choice, Turn, key_of, proposal_of
from agents.choose.config import ChooserConfig
from agents.errors import LimitExceeded, ModelConfigError, ModelError
from agents.llm.base import Completion, ResponseSchema, ToolCall
from agents.trajectory import Proposal
from core.record import Config

_WRITES = re.compile(
    r"(?<![<>\d=-])>{1,2}(?!\s*/dev/null|[&=>])\s*[\w./~$\"']|\bsed\b[^\n|;]*\s-\w*i|\bperl\b[^\n|;]*\s-\w*i|\btee\b"
    r"|\b(?:git\s+(?:apply|checkout|restore|stash|reset|revert|rm|mv)|patch|mv|cp|rm|ln|touch|mkdir|ed|ex|truncate)\b"
    r"|write_text|write_bytes|\bopen\([^)\n]*,\s*[\"'][wax]|apply_patch|str_replace"
)


class Propose:
    """Asks for further proposals if the first one edits files or submits.

    Proposals that do the same count as one. The largest group is taken if it is a majority; otherwise the model judges.
    """

    class Options(Config):
        """Settings of `propose`.

        Attributes:
            n: number of proposals, the first included.
            turns: ask again at turns that edit or submit (`edits`), or at all.
            arbiter: ask the judge only if no proposal has a majority (`split`), or whenever they differ (`always`).
        """

        n: int = Field(3, ge=2, le=16)
        turns: Literal["edits", "all"] = "edits"
        arbiter: Literal["split", "always"] = "split"

    def __init__(self, config: ChooserConfig, *, options: Options) -> None:
        self._config, self._options = config, options

    async def choose(self, turn: Turn) -> Choice:
        """See `StepChooser.choose`."""
        before = turn.ledger.spent
        first = await turn.ask()
        calls = turn.calls(first.first)
        if not calls or (self._options.turns == "edits" and not any(map(matters, calls))):
            return first, ()
        try:
            more = await turn.ask(n=self._options.n - 1, variant=1)
        except ModelConfigError:
            raise
        except (ModelError, LimitExceeded):
            return first.model_copy(update={"usage": turn.ledger.spent - before}), ()
        usable = [first.first, *(one for one in more.completions if turn.calls(one) and not one.problems)]
        votes = Counter(key_of(turn.calls(one)) for one in usable)
        different = list({key_of(turn.calls(one)): one for one in reversed(usable)}.values())[::-1]
        best, reason = await self._best(turn, different, votes)
        others = tuple(
            proposal_of(turn, one, model=turn.model.name, copies=votes[key_of(turn.calls(one))])
            for one in different
            if one is not best
        )
        if others:
            chosen = Proposal(model=turn.model.name, copies=votes[key_of(turn.calls(best))], reason=reason, chosen=True)
            others = (chosen, *others)
        return first.model_copy(update={"completions": (best,), "usage": turn.ledger.spent - before}), others

    async def _best(self, turn: Turn, different: Sequence[Completion], votes: Counter[str]) -> tuple[Completion, str]:
        sizes = [votes[key_of(turn.calls(one))] for one in different]
        largest = different[sizes.index(max(sizes))]
        agreed = self._options.arbiter == "split" and max(sizes) * 2 > sum(sizes)
        if len(different) == 1 or agreed:
            return largest, ""
        order = list(different)
        random.Random(f"{turn.sampling.seed} {turn.sampling.turn}").shuffle(order)
        labels = string.ascii_uppercase[: len(order)]
        shown = [{"label": label, "text": turn.shown(one)} for label, one in zip(labels, order, strict=True)]
        text = turn.ask_about(self._config.judge, order, proposals=shown)
        answer, _ = await turn.question(text, _schema(labels))
        choice = str((answer or {}).get("choice"))
        if choice not in list(labels):
            return largest, ""
        return order[labels.index(choice)], str((answer or {}).get("reason", ""))[:600]


def matters(call: ToolCall) -> bool:
    """Whether a call submits, or may change files."""
    if call.name == "submit":
        return True
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return False
    values = arguments.values() if isinstance(arguments, dict) else ()
    return any(isinstance(value, str) and _WRITES.search(value) for value in values)


def _schema(labels: str) -> ResponseSchema:
    properties = {"reason": {"type": "string"}, "choice": {"type": "string", "enum": list(labels)}}
    required = list(properties)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return ResponseSchema(name="proposal", json_schema=schema)
