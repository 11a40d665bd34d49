"""Summarize a trajectory: written by a model, checked by the harness."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from agents.conversation import conversation_of
from agents.errors import ContextOverflow, ModelRefused, ReplyInvalid
from agents.llm.base import ChatModel, Message, ResponseSchema, Sampling, Session, ToolSpec
from agents.llm.ledger import Ledger
from agents.trajectory import Trajectory
from core.sanitize import for_model
from core.text import EVENNESS, cut, fill
from summarizer.change import code_lines, render_change
from summarizer.check import check_claims
from summarizer.config import SummarizerConfig
from summarizer.errors import SummaryInvalid
from summarizer.facts import facts
from summarizer.fallback import baseline_summary, harness_summary, is_idle
from summarizer.fitting import windows_of
from summarizer.record import ran_in
from summarizer.render import render_facts
from summarizer.schema import Summary, SummaryDraft, draft_schema

_NO_SUMMARY = (SummaryInvalid, ReplyInvalid, ModelRefused)
_SMALLEST_WINDOW = 1000
_COMMAND_CHARS = 80


async def summarize(
    trajectory: Trajectory,
    *,
    statement: str,
    patch: bytes,
    model: ChatModel,
    ledger: Ledger,
    config: SummarizerConfig,
    seed: int,
    session: Session | None = None,
) -> Summary:
    """Summarize one rollout.

    If the model refuses or never matches the schema, the summary is built from facts alone (`source` is `harness`). The
    same goes for a rollout that did nothing. An unavailable server is an error, so that a resumed run tries again.

    Args:
        trajectory: the rollout's trajectory.
        statement: the task as the agent saw it.
        patch: exact bytes of the rollout's diff; empty if there is none.
        model: the chat model that writes the summary.
        ledger: accounts for the model's tokens and enforces limits.
        config: method, budgets and prompts.
        seed: sampling seed.
        session: the session that the requests belong to.

    Returns:
        The summary, with its claims checked against the trajectory.

    Raises:
        ModelUnavailable: the server does not answer.
        ModelConfigError: the request can never succeed.
        LimitExceeded: a limit of the ledger is reached.
    """
    if config.method not in ("model", "conversation"):
        return baseline_summary(trajectory, patch, config)
    if is_idle(trajectory, patch):
        return harness_summary(trajectory, statement, patch)
    sampling = Sampling(
        temperature=config.temperature, max_tokens=config.max_tokens, seed=seed % 2**31, session=session
    )
    writer = _Writer(trajectory, statement, patch, model, ledger, config, sampling)
    try:
        draft = await writer.draft()
    except (*_NO_SUMMARY, ContextOverflow):
        return harness_summary(trajectory, statement, patch)
    fields = {name: getattr(draft, name) for name in SummaryDraft.model_fields if name != "evidence"}
    return Summary(
        rollout_id=trajectory.id,
        evidence=check_claims(draft.evidence, trajectory),
        facts=facts(trajectory, patch),
        **fields,
    )


@dataclass(frozen=True, slots=True)
class _Room:
    """Characters of untrusted text allowed in one request, by source."""

    window: int
    statement: int
    patch: int


class _TooLarge(Exception):
    """A request exceeded the context; `fitting` is the number of characters that would fit, if known."""

    def __init__(self, messages: Sequence[Message], share: float | None) -> None:
        size = sum(len(str(message["content"])) for message in messages)
        self.fitting = None if share is None else int(size * share * EVENNESS)
        super().__init__(size)


class _Writer:
    """Produces one summary."""

    def __init__(
        self,
        trajectory: Trajectory,
        statement: str,
        patch: bytes,
        model: ChatModel,
        ledger: Ledger,
        config: SummarizerConfig,
        sampling: Sampling,
    ) -> None:
        self.trajectory, self.patch = trajectory, for_model(patch.decode("utf-8", "replace"))
        self.model, self.ledger, self.config = model, ledger, config
        self.sampling, self.seed = sampling, sampling.seed or 0
        self.statement = cut(for_model(statement).strip(), config.statement_chars)
        self.facts = render_facts(facts(trajectory, patch), 2000)
        self.room = _Room(config.window_chars, config.statement_chars, config.patch_chars)

    async def draft(self) -> SummaryDraft:
        """Draft in the rollout's own conversation or, failing that, draft each part of the trajectory and merge.

        Raises:
            SummaryInvalid: no reply matches the schema.
            ModelError: the model failed.
        """
        if self.config.method == "conversation" and (asked := conversation_of(self.trajectory)) is not None:
            try:
                return await self._in_conversation(*asked)
            except _TooLarge:
                pass  # one window of it may fit
        drafts = await self._fitting(self._parts)
        while len(drafts) > 1:
            drafts = await self._fitting(partial(self._merged, drafts))
        return drafts[0]

    async def _in_conversation(self, messages: list[Message], tools: Sequence[ToolSpec]) -> SummaryDraft:
        ask = fill(
            self.config.conversation,
            rules=fill(self.config.system),
            facts=self.facts,
            patch=render_change(self.patch, self.config.patch_chars),
            steps="\n".join(_numbered(self.trajectory)),
        )
        return await self._ask([*messages, {"role": "user", "content": ask}], self.seed, tools)

    async def _fitting(self, ask: Callable[[], Awaitable[list[SummaryDraft]]]) -> list[SummaryDraft]:
        """Call `ask`, shrinking the requests as long as they exceed the model's context."""
        while True:
            try:
                return await ask()
            except _TooLarge as error:
                self.room = self._smaller(error.fitting)
                if self.room.window < _SMALLEST_WINDOW:
                    assert error.__cause__ is not None
                    raise error.__cause__ from None

    def _smaller(self, fitting: int | None) -> _Room:
        """Halve the window, or shrink it to what fits; statement and patch get at most a quarter each."""
        longest = min(self.room.window, max(map(len, self._windows())))
        if fitting is None:
            return replace(self.room, window=longest // 2)
        quarter = fitting // 4
        least = _Room(0, min(self.room.statement, quarter), min(self.room.patch, quarter))
        rest = len(fill(self.config.system)) + len(self._content("", 0, 1, least))
        return replace(least, window=min(longest, fitting - rest))

    def _windows(self) -> tuple[str, ...]:
        room = max(self.config.least_chars, self.config.step_chars * self.trajectory.agent_steps)
        make = partial(windows_of, self.trajectory, room, self.room.window, statement=bool(self.statement))
        whole = make(diff=code_lines(render_change(self.patch, self.room.patch)))
        return whole if len(whole) == 1 else make()  # only the last of several requests shows the diff

    async def _parts(self) -> list[SummaryDraft]:
        parts = self._windows()
        contents = [self._content(text, index, len(parts), self.room) for index, text in enumerate(parts)]
        return await self._all([self._asked(content, self.seed + index) for index, content in enumerate(contents)])

    async def _merged(self, drafts: Sequence[SummaryDraft]) -> list[SummaryDraft]:
        size = self.config.merge_parts
        groups = [drafts[start : start + size] for start in range(0, len(drafts), size)]
        return await self._all([self._merge(group, last=len(groups) == 1) for group in groups])

    async def _all(self, requests: list[Any]) -> list[SummaryDraft]:
        """Run all requests concurrently; drafts that failed are dropped unless all did."""
        results = await asyncio.gather(*requests, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, _NO_SUMMARY):
                raise result
        drafts = [result for result in results if isinstance(result, SummaryDraft)]
        if not drafts:
            raise next(result for result in results if isinstance(result, BaseException))
        return drafts

    def _content(self, text: str, index: int, parts: int, room: _Room) -> str:
        """Render the request for one part; whatever concerns the whole rollout goes into the last request."""
        return fill(
            self.config.user,
            statement=cut(self.statement, room.statement),
            trajectory=text,
            part=index + 1,
            parts=parts,
            nonce=self._nonce(text),
            **self._whole(room, last=parts == 1),
        )

    def _whole(self, room: _Room, *, last: bool) -> dict[str, str]:
        return {"facts": self.facts if last else "", "patch": render_change(self.patch, room.patch) if last else ""}

    async def _merge(self, drafts: Sequence[SummaryDraft], *, last: bool) -> SummaryDraft:
        if len(drafts) == 1:
            return drafts[0]
        share = max(self.room.window // len(drafts), 200)
        texts = [cut(json.dumps(draft.model_dump(), ensure_ascii=False), share) for draft in drafts]
        content = fill(
            self.config.merge,
            statement=cut(self.statement, self.room.statement),
            drafts=texts,
            nonce=self._nonce(*texts),
            **self._whole(self.room, last=last),
        )
        return await self._asked(content, self.seed)

    async def _asked(self, content: str, seed: int) -> SummaryDraft:
        system: Message = {"role": "system", "content": fill(self.config.system)}
        return await self._ask([system, {"role": "user", "content": content}], seed)

    async def _ask(self, messages: list[Message], seed: int, tools: Sequence[ToolSpec] = ()) -> SummaryDraft:
        """Send a request, with a repair turn after each reply that does not match the schema."""
        for attempt in range(self.config.repairs + 1):
            try:
                reply = await self.model.complete(
                    messages,
                    ledger=self.ledger,
                    tools=tools,
                    tool_choice="none" if tools else "auto",
                    response_schema=ResponseSchema(name="summary", json_schema=draft_schema()),
                    sampling=self.sampling.model_copy(update={"seed": seed % 2**31, "turn": attempt}),
                )
            except ContextOverflow as error:
                raise _TooLarge(messages, error.fitting_share) from error
            try:
                return parse_draft(reply.first.content)
            except SummaryInvalid as error:
                fix = fill(self.config.repair, error=for_model(str(error)))
                messages = [*messages, reply.first.message, {"role": "user", "content": fix}]
        raise SummaryInvalid(f"no reply of {self.model.name} fits the summary schema")

    def _nonce(self, *texts: str) -> str:
        """Delimits untrusted text with a name that its authors cannot know."""
        digest = hashlib.sha256("\x1f".join((str(self.seed), self.statement, *texts)).encode("utf-8", "replace"))
        return digest.hexdigest()[:12]


def _numbered(trajectory: Trajectory) -> Iterator[str]:
    """List the start of each command by step: in its own conversation a model does not see step numbers."""
    for ran in ran_in(trajectory):
        command = " ".join(for_model(ran.command).split())
        yield f"{ran.steps[0]}: {command[:_COMMAND_CHARS]}{'...' if len(command) > _COMMAND_CHARS else ''}"


def parse_draft(content: str) -> SummaryDraft:
    """Parse a reply. Texts and lists beyond the schema's limits are cut; everything else must match.

    Raises:
        SummaryInvalid: the reply is not JSON, or does not match the schema.
    """
    try:
        data = json.loads(content)
        try:
            return SummaryDraft.model_validate(data)
        except ValidationError as error:
            _clip(data, error)
        return SummaryDraft.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the reply"
        raise SummaryInvalid(f"{where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise SummaryInvalid(f"the reply is not JSON: {error}") from error


def _clip(data: Any, error: ValidationError) -> None:
    for problem in error.errors():
        if problem["type"] not in ("string_too_long", "too_long") or not problem["loc"]:
            continue
        *path, last = problem["loc"]
        holder = data
        for key in path:
            holder = holder[key]
        holder[last] = holder[last][: problem["ctx"]["max_length"]]
