"""Session identity: marks requests as belonging together for a router, and manages the lifetime of sessions.

A router in front of several servers sends all requests of a session to the same server, whose cache holds their prefix.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import BeforeValidator

from agents.llm.base import ChatModel, Session
from core.record import Config


class SessionNames(Config):
    """Where a request carries the id of its session.

    Attributes:
        header: HTTP header; empty sends none.
        field: dotted path in the request body; empty sends none.
        echo: send the value that the session's last reply carried in the header, instead of the session's id.
        finish: path beside `/v1` that releases a session, as `POST PATH?session_id=ID`; empty releases nothing.
    """

    header: str = "X-Session-ID"
    field: str = ""
    echo: bool = False
    finish: str = ""

    def headers(self, session_id: str, heard: str | None) -> dict[str, str]:
        """Return the session headers of a request.

        Args:
            session_id: id of the request's session.
            heard: value of the header in the session's last reply; used with `echo`.
        """
        value = heard if self.echo else session_id
        return {self.header: value} if self.header and value else {}

    def fields(self, session_id: str) -> dict[str, Any]:
        """Return the session fields of a request body."""
        value: Any = session_id
        for part in reversed(self.field.split(".")) if self.field else ():
            value = {part: value}
        return value if self.field else {}


PRESETS: Mapping[str, SessionNames] = {
    "header": SessionNames(),
    "vllm-router": SessionNames(field="session_params.session_id", finish="/finish_session"),
    "sglang": SessionNames(header="X-SMG-Routing-Key"),
    "dynamo": SessionNames(header="X-Dynamo-Session-ID"),
    "llm-d": SessionNames(header="x-session-token", echo=True),
    "litellm": SessionNames(header="x-litellm-session-id"),
    "none": SessionNames(header=""),
}
"""Presets by router. vLLM's sticky policies read the header or the field; the policies `manual` and
`consistent_hashing` of SGLang, Dynamo's session affinity and LiteLLM's `session_affinity` read their headers; llm-d's
scorer returns a token with each reply."""


def _named(value: Any) -> Any:
    if isinstance(value, str):
        if value not in PRESETS:
            raise ValueError(f"there is no preset {value!r}; known: {', '.join(PRESETS)}")
        return PRESETS[value]
    return value


SessionSetting = Annotated[SessionNames, BeforeValidator(_named)]
"""`SessionNames`, or the name of a preset."""


def session_id(*scope: str | int) -> str:
    """Return a stable id that reveals nothing about its scope, since it ends up in server logs."""
    return sha256("\0".join(map(str, scope)).encode("utf-8", "replace")).hexdigest()[:32]


@runtime_checkable
class KeepsSessions(Protocol):
    """A model that announces sessions to its servers."""

    async def begin(self, session: Session) -> None:
        """Wait until the servers have room for another session."""
        ...

    def end(self, session: Session) -> None:
        """Release a session; returns at once."""
        ...


def sessions_of(model: ChatModel) -> KeepsSessions | None:
    """Return the model, or the model it wraps, if it supports sessions."""
    inner = getattr(model, "inner", None) or model
    return inner if isinstance(inner, KeepsSessions) else None


@asynccontextmanager
async def in_session(model: ChatModel, session: Session) -> AsyncIterator[None]:
    """Wait until the servers have room for the session, open it for the block, and always release it afterwards."""
    keeper = sessions_of(model)
    if keeper is not None:
        await keeper.begin(session)
    try:
        yield
    finally:
        if keeper is not None:
            keeper.end(session)
