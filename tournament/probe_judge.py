"""A judge that executes code where evidence leaves contestants equal (`tournament.judge.view: probe`).

One request writes a script that should tell the contestants apart, starting from the issue's own example. It runs on
the base and on each contestant. If the outputs differ, votes are cast as usual, with the outputs shown. If they do not,
the judge examines the contestants' trees in a sandbox, once per presentation order.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agents.llm.base import ChatModel, ResponseSchema
from core.aio import together
from core.record import Record
from core.sanitize import for_model
from core.text import cut
from tournament.base import Candidate, Case, Failure, Vote
from tournament.config import TournamentConfig
from tournament.judge import REASON_CHARS, ModelJudge
from tournament.presentation_order import shown_order
from tournament.probe import Executed, Inquiry, with_scripts
from tournament.prompt_judge import Question, object_schema, read, request_seed, session_of
from tournament.slots import seeded_hash

_MOST_SCRIPT_CHARS = 20_000


@runtime_checkable
class ProbingJudge(Protocol):
    """A judge that uses a `Probe`.

    Example:
        >>> class Undecided:
        ...     async def executed(self, match_id, shown, case):
        ...         return ()
        ...     async def inquire(self, match_id, shown, ran, case):
        ...         return []
        >>> isinstance(Undecided(), ProbingJudge)
        True
    """

    async def executed(self, match_id: str, shown: Sequence[Candidate], case: Case) -> tuple[Executed, ...]:
        """Write a script that should tell the contestants apart, unless there is one, and run it.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the model can succeed.
        """
        ...

    async def inquire(
        self, match_id: str, shown: Sequence[Candidate], ran: Sequence[Executed], case: Case
    ) -> list[Vote]:
        """Hold one inquiry per presentation order.

        Args:
            match_id: ID of the match.
            shown: the contestants, complete with what judges read, in slot order.
            ran: the scripts that were run.
            case: the problem, and the resources to judge it with.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the model can succeed.
        """
        ...


def with_outputs(candidate: Candidate, ran: Sequence[Executed], chars: int) -> Candidate:
    """Add the output of executed scripts to a candidate.

    Args:
        candidate: the candidate.
        ran: the scripts.
        chars: characters per output.
    """
    texts = [cut(for_model(one.outputs[candidate.id]), chars) for one in ran]
    said = texts if len(texts) == 1 else [f"Script {number}: {text}" for number, text in enumerate(texts, 1)]
    return candidate.model_copy(update={"ran": "\n\n".join(said)})


class ScriptReply(Record):
    """A shell script, and what it should show."""

    reason: str
    script: str


def script_schema(labels: Sequence[str]) -> ResponseSchema:
    """Schema of a reply with a script."""
    return object_schema("probe_script", {"reason": {"type": "string"}, "script": {"type": "string"}})


class ProbeJudge(ModelJudge):
    """A `ModelJudge` that also implements `ProbingJudge`."""

    def __init__(self, config: TournamentConfig, model: ChatModel) -> None:
        super().__init__(config, model)
        self.probing = config.judge.probe
        self.writing = Question(self.probing.script_system, self.probing.script_user, script_schema)

    async def executed(self, match_id: str, shown: Sequence[Candidate], case: Case) -> tuple[Executed, ...]:
        """See `ProbingJudge.executed`. Without a readable reply, only scripts of earlier matches run."""
        probe = case.probe
        assert probe is not None
        ids = tuple(one.id for one in shown)
        script = probe.script(match_id, ids)
        if script is None:
            seed = seeded_hash(case.seed, match_id, "script")
            asked = await self.asker.ask(
                self.writing, case.problem, shown, n=1, seed=seed, ledger=case.ledger,
                session=session_of(case.ledger, seeded_hash(case.seed, match_id)),
            )  # fmt: skip
            reply = read(asked.texts[0], ScriptReply)
            script = reply.script[:_MOST_SCRIPT_CHARS].strip() if reply else ""
        return await probe.run(match_id, ids, script)

    async def inquire(
        self, match_id: str, shown: Sequence[Candidate], ran: Sequence[Executed], case: Case
    ) -> list[Vote]:
        """See `ProbingJudge.inquire`."""
        return await together(self._inquire(match_id, shown, number, ran, case) for number in range(len(shown)))

    async def _inquire(
        self, match_id: str, contestants: Sequence[Candidate], number: int, ran: Sequence[Executed], case: Case
    ) -> Vote:
        assert case.probe is not None
        seed = request_seed(seeded_hash(case.seed, match_id, "inquiry"), number)
        shown = [with_outputs(one, ran, self.probing.output_chars) for one in shown_order(contestants, number)]
        problem = with_scripts(case.problem, ran, self.probing.output_chars, self.asker.config.problem_chars)
        labels, data = self.asker.data(problem, shown, seed=seed, budget=self.asker.config.candidate_chars)
        inquiry = Inquiry(
            match=match_id,
            number=number,
            shown=tuple(one.id for one in shown),
            labels=labels,
            data=data,
            model=self.asker.model,
            seed=seed,
            ledger=case.ledger,
        )
        found = await case.probe.inquire(inquiry)
        ids = {label: one.id for label, one in zip(labels, shown, strict=True)}
        choice = ids.get(found.choice or "")
        reason = cut(for_model(found.reason), REASON_CHARS)
        failure: Failure = "" if choice else "unavailable" if found.lost else "unreadable"
        return Vote(order=tuple(ids.values()), labels=labels, choice=choice, reason=reason, failure=failure)


def open_judge(config: TournamentConfig, model: ChatModel) -> ModelJudge:
    """Open the judge that the configuration asks for."""
    return ProbeJudge(config, model) if config.judge.view == "probe" else ModelJudge(config, model)
