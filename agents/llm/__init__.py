"""Chat models: the OpenAI-compatible client, and scripted fakes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agents.errors import ModelConfigError
from agents.llm.base import ChatModel
from agents.llm.config import ModelConfig, Prices
from core.registry import Registry

MODELS = Registry("model", {"repair": "heats.demo:RepairModel"}, prefix="builtin:", own="python:module:Class")
"""Models that need no server, by what follows `builtin:` in their names."""

__all__ = ["MODELS", "ModelConfig", "Prices", "open_model", "share_servers"]


def open_model(config: ModelConfig, *, workers: int = 0) -> ChatModel:
    """The chat model that a configuration names.

    `builtin:NAME` is one of `MODELS`. Without a `base_url`, `python:module:Class` is a `ChatModel` of your own, made
    with the configuration, and `fake:PATH` plays a persona from a JSON file. Anything else is a model of an
    OpenAI-compatible server at `base_url`, or at `OPENAI_BASE_URL`.

    Args:
        config: names the model.
        workers: rollouts at work at once, which set how many requests may be in flight where nobody does.

    Raises:
        UnknownPart: there is no such built-in model, module or class.
        ModelConfigError: an unreadable persona or cassette, or no base URL.
    """
    if config.cassette is None:
        return _open(config, workers)
    from agents.llm.cassette import CassetteModel

    inner = _open(config, workers) if config.cassette_mode != "replay" else None
    path = Path(config.cassette)
    return CassetteModel(path, config.cassette_mode, inner, name=config.name, text_protocol=config.text_protocol)


def share_servers(models: Iterable[ChatModel]) -> None:
    """Let the models of one server share its concurrency, circuit breaker and busy time: what it bears is its own."""
    known: dict[str, Any] = {}
    for model in models:
        inner: Any = getattr(model, "inner", None) or model
        if hasattr(inner, "pool"):
            inner.pool.share(known)


def _open(config: ModelConfig, workers: int) -> ChatModel:
    kind, _, rest = config.name.partition(":")
    if kind == "builtin":
        builtin: ChatModel = MODELS.open(rest)
        return builtin
    if kind == "python" and not config.base_url:
        own: ChatModel = MODELS.open(rest, config)
        return own
    if kind == "fake" and not config.base_url:
        from agents.llm.fake_persona import PersonaModel

        try:
            return PersonaModel.from_file(config.name, Path(rest))
        except (OSError, ValueError) as error:
            raise ModelConfigError(f"cannot read the persona {rest!r}: {error}") from error
    from agents.llm.openai_client import open_endpoint  # aiohttp takes long to import

    return open_endpoint(config, workers)
