"""A learned critic: where its scores come from, how they decide, and what happens without them."""

import json
import math
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from agents.errors import ModelConfigError, ModelUnavailable
from agents.llm.base import Completion, Reply, TokenLogprob
from agents.llm.ledger import Ledger, Usage
from agents.llm.scorer import HttpScorer, ScorerConfig
from core.errors import InvalidOptions
from tournament.critic import CriticOptions, CriticSelector
from tournament.journal import MemoryJournal
from tournament.registry import needs_model, open_selector

ONE, OTHER = "heat-0/rollout-00", "heat-0/rollout-01"


class Service:
    """A scoring service: what is asked of each path, and a reply made from the text to score."""

    def __init__(self, reply, fail=0, status=503):
        self.reply, self.fail, self.status, self.asked = reply, fail, status, []

    async def answer(self, request):
        body = await request.json()
        self.asked.append((request.path, body))
        if self.fail:
            self.fail -= 1
            return web.Response(status=self.status, text="busy")
        return web.json_response(self.reply(body))


@asynccontextmanager
async def serving(service):
    app = web.Application()
    app.router.add_post("/{path:.*}", service.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


REPLIES = {
    "classify": lambda body: {"data": [{"label": "good", "probs": [0.2, 0.8]}], "usage": {"prompt_tokens": 7}},
    "score": lambda body: {"data": [{"index": 0, "score": 0.8}], "usage": {"prompt_tokens": 7}},
    "http": lambda body: {"score": 0.8},
}


@pytest.mark.parametrize("kind", REPLIES)
async def test_each_kind_of_service_gives_a_probability_and_is_charged(kind):
    ledger, service = Ledger("test"), Service(REPLIES[kind])
    async with serving(service) as url:
        scorer = HttpScorer(ScorerConfig(kind=kind, url=f"{url}/mine" if kind == "http" else url, model="m"))
        assert await scorer.score("the issue", "the change", ledger=ledger) == pytest.approx(0.8)
        await scorer.close()
    ((path, body),) = service.asked
    assert path == {"classify": "/classify", "score": "/score", "http": "/mine"}[kind]
    assert "the issue" in json.dumps(body) and "the change" in json.dumps(body)
    assert (ledger.spent.calls, ledger.spent.prompt_tokens) == (1, 0 if kind == "http" else 7)


async def score_of(service, **options):
    async with serving(service) as url:
        scorer = HttpScorer(ScorerConfig(kind="http", url=url, **options))
        try:
            return await scorer.score("q", "t", ledger=Ledger("test"))
        finally:
            await scorer.close()


async def test_a_busy_service_is_asked_again_and_a_dead_one_is_unavailable():
    assert await score_of(Service(REPLIES["http"], fail=2)) == pytest.approx(0.8)
    with pytest.raises(ModelUnavailable):
        await score_of(Service(REPLIES["http"], fail=9), attempts=2)


@pytest.mark.parametrize("reply", [{"value": 1}, {"score": None}, [], {"score": float("nan")}])
async def test_replies_in_another_form_are_a_configuration_error(reply):
    with pytest.raises(ModelConfigError):
        await score_of(Service(lambda body: reply))
    with pytest.raises(ModelConfigError, match="rejects"):
        await score_of(Service(REPLIES["http"], fail=1, status=404))


@pytest.mark.parametrize(("value", "activation", "share"), [(3, "none", 1), (-2, "none", 0), (0, "sigmoid", 0.5)])
async def test_scores_are_probabilities(value, activation, share):
    assert await score_of(Service(lambda body: {"score": value}), activation=activation) == pytest.approx(share)


def scores(by_summary):
    """A service that knows each candidate by its summary."""
    return Service(lambda body: {"score": next(p for text, p in by_summary.items() if text in body["text"])})


@pytest.fixture
def select(config, kit):
    """One selection by a critic; returns the bracket."""

    async def go(field, reply, journal=None, k=1, **options):
        chosen = CriticOptions.model_validate(options)
        judge = config.judge.model_copy(update={"votes_from": "samples"})
        model = reply if hasattr(reply, "complete") else kit.Answering(reply)
        selector = CriticSelector.open(config.model_copy(update={"judge": judge}), model, options=chosen)
        return await kit.play(selector, field, k, journal=journal)

    return go


def nobody(messages, schema, index):
    raise AssertionError("the model was asked")


def first_shown(messages, schema, index):
    return json.dumps({"reason": "r", "choice": schema["properties"]["choice"]["enum"][0]})


async def test_the_critic_decides_alone_and_its_scores_are_kept(select, kit):
    service, journal = scores({"summary 0": 0.3, "summary 1": 0.9, "summary 2": 0.6}), MemoryJournal()
    async with serving(service) as url:
        scorer = {"kind": "http", "url": url}
        bracket = await select(kit.field(3), nobody, journal, scorer=scorer)
        assert bracket.selected == (OTHER,) and {match.decided_by for match in bracket.matches} <= {"critic", "bye"}
        assert bracket.scores == {ONE: 0.3, OTHER: 0.9, "heat-0/rollout-02": 0.6}
        asked = len(service.asked)
        again = await select(kit.field(3), nobody, journal, scorer=scorer)
    assert (asked, len(service.asked)) == (3, 3) and again == bracket


async def test_votes_and_critic_add_up_below_evidence(select, kit):
    """Votes that all follow the order are no preference; then the critic decides, but never against evidence."""
    async with serving(scores({"summary 0": 0.8, "summary 1": 0.4})) as url:
        mixed = {"scorer": {"kind": "http", "url": url}, "votes": True}
        bracket = await select(kit.field(2), first_shown, **mixed)
        assert bracket.selected == (ONE,) and bracket.matches[0].decided_by == "votes" and bracket.matches[0].votes
        ranked = [one.model_copy(update={"evidence_rank": int(one.id == OTHER)}) for one in kit.field(2)]
        assert (await select(ranked, first_shown, **mixed)).selected == (OTHER,)


async def test_the_weight_says_how_far_the_critic_outweighs_votes(select, kit):
    def for_other(messages, schema, index):
        one = next(one for one in kit.payload(messages)["candidates"] if "summary 1" in one["summary"])
        return json.dumps({"reason": "r", "choice": one["label"]})

    async with serving(scores({"summary 0": 0.8, "summary 1": 0.4})) as url:
        mixed = {"scorer": {"kind": "http", "url": url}, "votes": True}
        assert (await select(kit.field(2), for_other, **mixed)).selected == (OTHER,)
        assert (await select(kit.field(2), for_other, weight=5, **mixed)).selected == (ONE,)


async def test_a_dead_critic_leaves_it_to_votes_or_ends_the_selection(select, kit):
    async with serving(Service(nobody, fail=99)) as url:
        scorer = {"kind": "http", "url": url, "attempts": 1}
        bracket = await select(kit.field(2), first_shown, scorer=scorer, votes=True)
        assert bracket.matches[0].votes and bracket.scores == {}
        with pytest.raises((ModelUnavailable, ExceptionGroup)):
            await select(kit.field(2), nobody, scorer=scorer)


class YesNo:
    """A chat model with log probabilities of yes and no for each summary."""

    name = "yes-no"

    def __init__(self, shares, logprobs=True):
        self.shares, self.logprobs, self.counts = shares, logprobs, []

    async def complete(self, messages, *, ledger, n=1, response_schema=None, sampling=None, **_):
        ledger.charge(Usage(calls=1))
        self.counts.append(n)
        yes = next(share for text, share in self.shares.items() if text in messages[1]["content"])
        said = "yes" if yes > 0.5 else "no"
        top = (("yes", math.log(yes)), ("no", math.log(1 - yes)))
        parts = ['{"choice": "', said, '"}']
        tokens = [
            TokenLogprob(token=part, logprob=math.log(max(yes, 1 - yes)), top=top if part == said else ())
            for part in parts
        ]
        text = "".join(parts)
        one = Completion(
            message={"role": "assistant", "content": text},
            content=text,
            logprobs=tuple(tokens if self.logprobs else ()),
        )
        return Reply(completions=(one,) * n, usage=Usage(calls=1), model=self.name)


async def test_the_judges_model_is_the_critic_by_the_probability_of_yes(select, kit):
    bracket = await select(kit.field(2), YesNo({"summary 0": 0.6, "summary 1": 0.7}))
    assert bracket.selected == (OTHER,)
    assert bracket.scores == {ONE: pytest.approx(0.6), OTHER: pytest.approx(0.7)}


async def test_without_log_probabilities_several_replies_are_counted(select, kit, config):
    model = YesNo({"summary 0": 0.6, "summary 1": 0.4}, logprobs=False)
    bracket = await select(kit.field(2), model)
    samples = config.scoring.samples
    assert bracket.selected == (ONE,) and sorted(model.counts) == sorted([1, samples - 1] * 2)
    assert bracket.scores[ONE] == pytest.approx((samples + 0.5) / (samples + 1))


def test_a_scorer_alone_needs_no_model(config, kit):
    def chosen(**options):
        return config.model_copy(update={"selector": "critic", "options": options})

    scorer = {"kind": "score", "url": "http://localhost:1"}
    assert not needs_model(chosen(scorer=scorer))
    assert needs_model(chosen()) and needs_model(chosen(scorer=scorer, votes=True))
    assert isinstance(open_selector(chosen(scorer=scorer), kit.Answering(nobody)), CriticSelector)
    with pytest.raises(InvalidOptions, match=r"tournament\.options\.wait"):
        needs_model(chosen(wait=1))
