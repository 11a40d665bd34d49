"""Record and replay: stores a model's replies in a file, keyed by request, and replays them without the model.

A cassette is a JSON Lines file with one reply per line, keyed by a digest of the complete request. Requests themselves
are not stored. Replies carry the usage counted by the server; the ledger is charged for it on replay as well.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from agents.errors import ContextOverflow, ModelConfigError, ModelError, ModelRefused, ReplyInvalid, RequestRejected
from agents.llm.base import ChatModel, Completion, Message, Reply, ResponseSchema, Sampling, ToolSpec
from agents.llm.ledger import Ledger, Usage
from core.record import Record

CassetteMode = Literal["record", "replay", "auto"]
_LASTING: tuple[type[ModelError], ...] = (ContextOverflow, ModelRefused, RequestRejected, ReplyInvalid)
"""Failures that are inherent in the request rather than transient, and are therefore stored."""


class Take(Record):
    """One line of a cassette: the reply to a request, or its permanent failure.

    Attributes:
        sizes: `prompt`, `limit` and `reply` of a `ContextOverflow`, from which the next request is built.
    """

    key: str
    model: str
    usage: Usage
    completions: tuple[Completion, ...] = ()
    error: str = ""
    message: str = ""
    sizes: tuple[int | None, int | None, int] | None = None


class CassetteModel:
    """A `ChatModel` that records the replies of another model and replays them.

    Args:
        path: path of the cassette, which is created with the first stored reply.
        mode: `record` always queries the model, `replay` never does, and `auto` does on a cassette miss.
        inner: the model to query; None with `replay`.
        name: the user's name for the model.
        text_protocol: as in `ModelConfig`.

    Raises:
        ModelConfigError: the file is unreadable or not a cassette.
    """

    def __init__(
        self, path: Path, mode: CassetteMode, inner: ChatModel | None, *, name: str, text_protocol: bool = False
    ) -> None:
        self.path, self.mode, self.inner, self.name = path, mode, inner, name
        self.text_protocol = text_protocol
        self._takes: dict[str, list[Take]] = defaultdict(list)
        self._played: dict[str, int] = defaultdict(int)
        if mode != "replay":
            _mend(path)
        if mode != "record":
            for take in _read(path, must_exist=mode == "replay"):
                self._takes[take.key].append(take)

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        ledger: Ledger,
        tools: Sequence[ToolSpec] = (),
        tool_choice: Literal["auto", "required", "none"] = "auto",
        n: int = 1,
        response_schema: ResponseSchema | None = None,
        sampling: Sampling | None = None,
    ) -> Reply:
        """Reply from the cassette or the model; see `ChatModel.complete`.

        The k-th identical request gets the k-th reply stored for it.

        Raises:
            ModelConfigError: in replay mode, the request is not in the cassette.
        """
        asked: dict[str, Any] = {
            "tools": tools,
            "tool_choice": tool_choice,
            "n": n,
            "response_schema": response_schema,
            "sampling": sampling,
        }
        key = _key(self.name, messages, asked)
        at = self._played[key]
        self._played[key] += 1
        if at < len(self._takes[key]):
            ledger.check()
            return _play(self._takes[key][at], ledger)
        if self.mode == "replay" or self.inner is None:
            raise ModelConfigError(
                f"the cassette {self.path} holds no reply to this request of {self.name!r}: it was recorded from "
                "another task, configuration or version; cassette_mode auto asks for what is missing"
            )
        return await self._record(key, messages, asked, ledger)

    async def _record(self, key: str, messages: Sequence[Message], asked: dict[str, Any], ledger: Ledger) -> Reply:
        assert self.inner is not None
        spent = ledger.child(ledger.scope)  # attributes the charge to its scope
        try:
            reply = await self.inner.complete(messages, ledger=spent, **asked)
        except _LASTING as error:
            kind, told = type(error).__name__, str(error)
            sizes = (error.prompt, error.limit, error.reply) if isinstance(error, ContextOverflow) else None
            self._keep(Take(key=key, model=self.name, usage=spent.spent, error=kind, message=told, sizes=sizes))
            raise
        self._keep(Take(key=key, model=reply.model, usage=reply.usage, completions=reply.completions))
        return reply

    def _keep(self, take: Take) -> None:
        """Append a take as one line in a single write, so that rollouts and models can share a file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                file.write(take.model_dump_json(exclude_defaults=True).encode() + b"\n")
        except OSError as error:
            raise ModelConfigError(f"cannot write the cassette {self.path}: {error.strerror or error}") from error

    async def preflight(self) -> Mapping[str, Any]:
        """Return the inner model's preflight facts; replay mode queries nothing."""
        known = await self.inner.preflight() if self.inner is not None else {"model": self.name}
        return {**known, "cassette": self.mode}

    async def close(self) -> None:
        """Close the inner model; the file itself is closed after every reply."""
        if self.inner is not None:
            await self.inner.close()


def _key(name: str, messages: Sequence[Message], asked: Mapping[str, Any]) -> str:
    request = {"model": name, "messages": list(messages), **asked, "tools": list(asked["tools"])}
    text = json.dumps(request, sort_keys=True, ensure_ascii=True, default=lambda part: part.model_dump(mode="json"))
    return sha256(text.encode()).hexdigest()


def _play(take: Take, ledger: Ledger) -> Reply:
    ledger.charge(take.usage)
    if take.sizes is not None:
        prompt, limit, reply = take.sizes
        raise ContextOverflow(take.message, prompt=prompt, limit=limit, reply=reply)
    if take.error:
        kinds = {kind.__name__: kind for kind in _LASTING}
        raise kinds.get(take.error, ReplyInvalid)(take.message)
    return Reply(completions=take.completions, usage=take.usage, model=take.model)


def _mend(path: Path) -> None:
    """Truncate the incomplete last line left by a killed process."""
    try:
        with path.open("r+b") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ModelConfigError(f"cannot write the cassette {path}: {error.strerror or error}") from error


def _read(path: Path, *, must_exist: bool) -> list[Take]:
    """Read every complete line."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if must_exist:
            raise ModelConfigError(f"there is no cassette {path}; record one with cassette_mode record") from None
        return []
    except OSError as error:
        raise ModelConfigError(f"cannot read the cassette {path}: {error.strerror or error}") from error
    lines = data.split(b"\n")
    try:
        return [Take.model_validate_json(line) for line in lines[:-1] if line.strip()]
    except ValidationError as error:
        raise ModelConfigError(f"{path} is not a cassette: {error.errors()[0]['msg']}") from error
