"""Fixtures of the tournament's tests: the shipped settings, and a kit of small builders."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import configs
from agents.llm.base import Completion, Message, Reply, ResponseSchema, Sampling
from agents.llm.ledger import Ledger, Usage
from tournament.base import Bracket, Candidate, Case, Judge, Selector
from tournament.config import TournamentConfig
from tournament.journal import MemoryJournal
from tournament.rtv import RTVSelector


class Answering:
    """A chat model that answers every completion with `reply(messages, schema, index)`; an exception is raised."""

    name = "answering"

    def __init__(self, reply: Callable[[Sequence[Message], dict[str, Any], int], str | BaseException]) -> None:
        self.reply = reply
        self.requests: list[list[Message]] = []
        self.counts: list[int] = []
        self.samplings: list[Sampling | None] = []

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        ledger: Ledger,
        n: int = 1,
        response_schema: ResponseSchema | None = None,
        sampling: Sampling | None = None,
        **_: object,
    ) -> Reply:
        ledger.check()
        ledger.charge(Usage(calls=1))
        self.requests.append(list(messages))
        self.counts.append(n)
        self.samplings.append(sampling)
        await asyncio.sleep(0)
        schema = response_schema.json_schema if response_schema else {}
        texts = [self.reply(messages, schema, index) for index in range(n)]
        for text in texts:
            if isinstance(text, BaseException):
                raise text
        completions = [Completion(message={"role": "assistant", "content": text}, content=str(text)) for text in texts]
        return Reply(completions=tuple(completions), usage=Usage(calls=1), model=self.name)


def payload(messages: Sequence[Message]) -> dict[str, Any]:
    """The JSON object in a judge's user message."""
    data, _ = json.JSONDecoder().raw_decode(messages[1]["content"])
    return dict(data)


class Kit:
    """Builders, as a fixture because test modules cannot import one another."""

    Answering = Answering
    payload = staticmethod(payload)

    @staticmethod
    def field(count: int, **each: Any) -> list[Candidate]:
        """`count` distinct candidates."""
        return [Candidate(id=f"heat-0/rollout-{i:02}", summary=f"summary {i}", **each) for i in range(count)]

    @staticmethod
    async def at_once(candidate: Candidate | None) -> Candidate | None:
        """A candidate that is available at once."""
        return candidate

    @staticmethod
    def case(seed: int = 0, journal: MemoryJournal | None = None) -> Case:
        """The case of a selection."""
        return Case("the issue", seed, Ledger("test"), journal or MemoryJournal())

    @staticmethod
    async def play(
        selector: Selector,
        candidates: Sequence[Candidate] | Mapping[str, Awaitable[Candidate | None]],
        k: int = 1,
        seed: int = 0,
        journal: MemoryJournal | None = None,
    ) -> Bracket:
        """One selection."""
        if not isinstance(candidates, Mapping):
            candidates = {one.id: Kit.at_once(one) for one in candidates}
        return await selector.select(candidates, k, Kit.case(seed, journal))

    @staticmethod
    async def in_order(
        selector: Selector, slots: Mapping[str, Candidate | None], order: Sequence[str], k: int = 1, seed: int = 0
    ) -> Bracket:
        """One selection whose candidates arrive one after another, with time for matches in between."""
        loop = asyncio.get_running_loop()
        futures: dict[str, asyncio.Future[Candidate | None]] = {name: loop.create_future() for name in slots}
        task = asyncio.create_task(Kit.play(selector, futures, k, seed))
        for name in order:
            futures[name].set_result(slots[name])
            for _ in range(6):
                await asyncio.sleep(0)
        return await task


@pytest.fixture
def settings() -> dict[str, Any]:
    """The shipped `tournament:` section."""
    text = (Path(configs.__file__).parent / "default.yaml").read_text("utf-8")
    section: dict[str, Any] = yaml.safe_load(text)["tournament"]
    return section


@pytest.fixture
def config(settings: dict[str, Any]) -> TournamentConfig:
    """The shipped configuration."""
    return TournamentConfig(**settings)


@pytest.fixture
def kit() -> type[Kit]:
    """The builders."""
    return Kit


@pytest.fixture
def rtv(config: TournamentConfig) -> Callable[..., RTVSelector]:
    """RTV with a judge and some changed settings."""

    def build(judge: Judge, **changes: Any) -> RTVSelector:
        return RTVSelector(config.model_copy(update=changes), judge)

    return build
