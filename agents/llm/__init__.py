"""Chat models: the OpenAI-compatible client, the built-in repair policy, and scripted fakes."""

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agents.errors import ModelConfigError
from agents.llm.base import ChatModel, meter_of
from agents.llm.config import ModelConfig, Prices

BUILTINS: Mapping[str, str] = {"builtin:repair": "agents.llm.repair:RepairModel"}
"""Models that need no server: name -> `module:Class`, imported when opened."""

__all__ = ["BUILTINS", "ModelConfig", "Prices", "open_model", "share_servers"]


def open_model(config: ModelConfig) -> ChatModel:
    """The chat model that a configuration names.

    `builtin:NAME` is one of `BUILTINS`; `fake:PATH` plays a persona from a JSON file; anything else is a model of an
    OpenAI-compatible server at `base_url`, or at `OPENAI_BASE_URL`.

    Raises:
        ModelConfigError: an unknown built-in, an unreadable persona or cassette, or no base URL.
    """
    if config.cassette is None:
        return _open(config)
    from agents.llm.cassette import CassetteModel

    inner = _open(config) if config.cassette_mode != "replay" else None
    path = Path(config.cassette)
    return CassetteModel(path, config.cassette_mode, inner, name=config.name, text_protocol=config.text_protocol)


def share_servers(models: Iterable[ChatModel]) -> None:
    """Let the models of one server share its concurrency, circuit breaker and busy time: what it bears is its own."""
    first: dict[str, Any] = {}
    for model in models:
        inner: Any = meter_of(model)
        if hasattr(inner, "join") and first.setdefault(inner.place, inner) is not inner:
            inner.join(first[inner.place])


def _open(config: ModelConfig) -> ChatModel:
    kind, _, rest = config.name.partition(":")
    if kind == "builtin":
        return _builtin(config.name)
    if kind == "fake" and not config.base_url:
        from agents.llm.fake_persona import PersonaModel

        try:
            return PersonaModel.from_file(config.name, Path(rest))
        except (OSError, ValueError) as error:
            raise ModelConfigError(f"cannot read the persona {rest!r}: {error}") from error
    from agents.llm.openai_client import open_endpoint  # aiohttp takes long to import

    return open_endpoint(config)


def _builtin(name: str) -> ChatModel:
    if name not in BUILTINS:
        raise ModelConfigError(f"unknown model {name!r}; built in: {', '.join(BUILTINS)}")
    module, _, attribute = BUILTINS[name].partition(":")
    model: ChatModel = getattr(importlib.import_module(module), attribute)()
    return model
