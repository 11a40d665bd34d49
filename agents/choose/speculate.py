"""A small model writes each turn, the rollout's model scores it and writes what it does not accept.

Source: SpecReason (arXiv:2504.07891); one turn is one reasoning step.
"""

from pydantic import Field

from agents.choose.base import Choice, Turn, proposal_of, with_usage
from agents.choose.config import ChooserConfig
from agents.errors import LimitExceeded, ModelError
from agents.llm.base import Reply, ResponseSchema
from agents.trajectory import Proposal
from core.record import Config

_BEST = 9


class Speculate:
    """Acts on the draft if its score reaches the threshold."""

    class Options(Config):
        """Settings of `speculate`.

        Attributes:
            threshold: lowest score, of 0 to 9, with which a draft is acted on.
        """

        threshold: int = Field(7, ge=0, le=_BEST)

    def __init__(self, config: ChooserConfig, *, options: Options) -> None:
        self._config, self._options = config, options

    async def choose(self, turn: Turn) -> Choice:
        """See `StepChooser.choose`."""
        before = turn.ledger.spent
        drafted = await self._draft(turn)
        if turn.drafter is None or drafted is None or not turn.calls(drafted.first) or drafted.first.problems:
            wasted = turn.ledger.spent - before
            return with_usage(await turn.ask(), wasted), ()
        text = turn.ask_about(self._config.score, [drafted.first], proposal=turn.shown(drafted.first))
        answer, spent = await turn.question(text, _SCHEMA)
        score = (answer or {}).get("score")
        if isinstance(score, int) and score >= self._options.threshold:
            accepted = Proposal(model=turn.drafter.name, score=score, chosen=True)
            return with_usage(drafted, spent), (accepted,)
        own = await turn.ask()
        known = float(score) if isinstance(score, int) else None
        refused = proposal_of(turn, drafted.first, model=turn.drafter.name, score=known)
        return with_usage(own, drafted.usage, spent), (refused,)

    async def _draft(self, turn: Turn) -> Reply | None:
        """The draft; None if the small model cannot help with this turn."""
        try:
            return await turn.ask(model=turn.drafter) if turn.drafter is not None else None
        except LimitExceeded:
            raise
        except ModelError:
            return None


_SCHEMA = ResponseSchema(
    name="step-score",
    json_schema={
        "type": "object",
        "properties": {"score": {"type": "integer", "minimum": 0, "maximum": _BEST}},
        "required": ["score"],
        "additionalProperties": False,
    },
)
