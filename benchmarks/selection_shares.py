"""Probabilities compared with samples: a judge of known accuracy behind the fake server, queried by the real client.

The server reads a judge's request as a model would: the candidates and their labels from the message, the order of the
reply from the schema. It names the passing candidate with the odds of its quality gap, plus a preference for the first
place, plus an error for each pair that all its votes share.
"""

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agents.llm.base import Completion, TokenLogprob
from agents.llm.config import ModelConfig
from agents.llm.fake import text
from agents.llm.fake_server import FakeServer
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from benchmarks.selection_field import gap_for, settings
from tournament.base import Candidate, Case
from tournament.config import TournamentConfig
from tournament.journal import MemoryJournal
from tournament.judge import ModelJudge
from tournament.match_votes import MatchVotes
from tournament.slots import seeded_hash

SAMPLES = (2, 4, 8, 16)
NOISE = 2.0
_JUNK = (("The", 1e-4), ("{", 1e-5))


class JudgeServer:
    """Answers a judge's requests; a responder for `FakeServer`.

    Args:
        gap: logits between a candidate whose summary says `passes` and one whose summary does not.
        bias: logits added to the candidate shown first.
        noise: standard deviation of each pair's error, in logits.
        knows: return probabilities on request.
        thinks: characters of reasoning before every reply.

    Attributes:
        completions: number of completions so far.
    """

    def __init__(
        self, gap: float, bias: float = 0.0, noise: float = 0.0, *, knows: bool = True, thinks: int = 0
    ) -> None:
        self.gap, self.bias, self.noise, self.knows, self.thinks = gap, bias, noise, knows, thinks
        self.completions = 0

    def __call__(self, request: Mapping[str, Any]) -> Sequence[Completion]:
        """The request's `n` completions."""
        shown, _ = json.JSONDecoder().raw_decode(request["messages"][1]["content"])
        labels = [one["label"] for one in shown["candidates"]]
        shares = self.shares([one["summary"] for one in shown["candidates"]])
        fields = list(request["response_format"]["json_schema"]["schema"]["properties"])
        count = int(request.get("n") or 1)
        self.completions += count
        wanted = self.knows and bool(request.get("logprobs"))
        rng = random.Random(seeded_hash(int(request.get("seed") or 0), *labels))
        return [self._reply(fields, rng.choices(labels, shares)[0], dict(zip(labels, shares, strict=True)), wanted)
                for _ in range(count)]  # fmt: skip

    def shares(self, summaries: Sequence[str]) -> list[float]:
        """The probability of each candidate, in display order."""
        logits = []
        for place, summary in enumerate(summaries):
            error = random.Random(seeded_hash(0, summary, *sorted(summaries))).gauss(0, self.noise)
            logits.append(self.gap * summary.startswith("passes") + error + self.bias * (place == 0))
        odds = [math.exp(logit - max(logits)) for logit in logits]
        return [one / sum(odds) for one in odds]

    def _reply(self, fields: Sequence[str], choice: str, shares: Mapping[str, float], wanted: bool) -> Completion:
        """A reply in the schema's order; the label consists of two tokens, and the first has the alternatives."""
        pieces = ["<think>", "hm " * (self.thinks // 3), "</think>"] if self.thinks else []
        for number, name in enumerate(fields):
            value = (choice[:1], choice[1:]) if name == "choice" else ("It covers ", "more cases.")
            pieces += ["{" if number == 0 else ",", f'"{name}"', ": ", '"', *value, '"']
        pieces.append("}")
        message = text("".join(pieces))
        return message.model_copy(update={"logprobs": tuple(_tokens(pieces, choice, shares))}) if wanted else message


def _tokens(pieces: Iterable[str], choice: str, shares: Mapping[str, float]) -> Iterable[TokenLogprob]:
    for piece in pieces:
        known = {label[:1]: share for label, share in shares.items()} if piece == choice[:1] else {piece: 1.0}
        top = tuple((name, math.log(share)) for name, share in (*known.items(), *_JUNK) if share > 0)
        yield TokenLogprob(token=piece, logprob=math.log(known[piece]), top=top)


def asking(votes_from: str, votes: int = 8) -> TournamentConfig:
    """The shipped settings, with all votes cast and the given source of votes."""
    usual = settings(early_stop="never", votes=votes)
    return usual.model_copy(update={"judge": usual.judge.model_copy(update={"votes_from": votes_from})})


async def right(config: TournamentConfig, server: JudgeServer, pairs: int) -> tuple[float, float, float]:
    """Share of mixed pairs decided correctly, and requests and completions per pair.

    Args:
        config: settings of the judge.
        server: the simulated judge.
        pairs: number of pairs.
    """
    async with FakeServer(server) as served:
        model = OpenAIModel(ModelConfig(name="fake-model", base_url=served.base_url))
        judge, won = ModelJudge(config, model), 0
        await judge.weighs(Ledger("bench"))  # the probing request is sent once per run
        before, asked = served.counts["requests"], server.completions
        for number in range(pairs):
            field = [Candidate(id=name, summary=f"{name} {number}") for name in ("passes", "fails")]
            field = field[:: 1 if number % 2 else -1]
            case = Case("an issue", number, Ledger("bench"), MemoryJournal())
            match = await MatchVotes(config, judge, case).decide("r0-m0", (field[0], field[1]))
            won += match.winner == "passes"
        await model.close()
    return won / pairs, (served.counts["requests"] - before) / pairs, (server.completions - asked) / pairs


async def shares(pairs: int) -> None:
    """Accuracy on mixed pairs: V samples, or the labels' probabilities from one request per order."""
    print(f"## probabilities against samples, {pairs} mixed pairs a cell, per cent decided rightly\n")
    names = [*(f"V={votes}" for votes in SAMPLES), "probabilities"]
    print("| one vote is right | bias | shared error | " + " | ".join(names) + " |\n|" + " --- |" * (3 + len(names)))
    cost: dict[str, str] = {}
    for accuracy in (0.6, 0.7, 0.8):
        for bias, noise in ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (0.0, NOISE), (2.0, NOISE)):
            cells = []
            for name, config in zip(names, [*(asking("samples", v) for v in SAMPLES), asking("auto")], strict=True):
                server = JudgeServer(gap_for(accuracy, noise), bias, noise)
                share, requests, completions = await right(config, server, pairs)
                cells.append(f"{100 * share:.1f}")
                cost[name] = f"{requests:.0f} ({completions:.0f})"
            print(f"| {accuracy} | {bias:g} | {noise:g} | " + " | ".join(cells) + " |", flush=True)
    print("| requests (replies) of a pair | | | " + " | ".join(cost[name] for name in names) + " |\n", flush=True)
