"""Chat models: the OpenAI-compatible client, and scripted fakes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agents.errors import ModelConfigError
from agents.llm.base import ChatModel
from agents.llm.config import ModelConfig, Prices
from core.registry import Registry

MODELS = Registry("model", {"repair": "heats.demo:RepairModel"}, prefix="builtin:", own="python:module:Class")
"""Models that need no server, keyed by the part of their name after `builtin:`."""

__all__ = ["MODELS", "ModelConfig", "Prices", "open_model", "share_servers"]


def open_model(config: ModelConfig, *, workers: int = 0) -> ChatModel:
    """Open the chat model named by a configuration.

    `builtin:NAME` selects an entry of `MODELS`. Without a `base_url`, `python:module:Class` instantiates a custom
    `ChatModel` with the configuration, and `fake:PATH` plays a persona from a JSON file. Any other name is a model on
    the OpenAI-compatible server at `base_url`, or at `OPENAI_BASE_URL`.

    Args:
        config: the model's configuration.
        workers: number of concurrent rollouts; determines the limit on requests in flight if none is configured.

    Raises:
        UnknownPart: the built-in model, module or class does not exist.
        ModelConfigError: the persona or cassette is unreadable, or there is no base URL.
    """
    if config.cassette is None:
        return _open(config, workers)
    from agents.llm.cassette import CassetteModel

    inner = _open(config, workers) if config.cassette_mode != "replay" else None
    path = Path(config.cassette)
    return CassetteModel(path, config.cassette_mode, inner, name=config.name, text_protocol=config.text_protocol)


def share_servers(models: Iterable[ChatModel]) -> None:
    """Make models on the same server share its concurrency limit, circuit breaker and busy time.

    Servers whose models name the same GPU take turns on it.
    """
    known: dict[str, Any] = {}
    gpus: dict[str, Any] = {}
    for model in models:
        inner: Any = getattr(model, "inner", None) or model
        if not hasattr(inner, "pool"):
            continue
        inner.pool.share(known)
        if inner.config.gpu:
            from agents.llm.gpu_turns import GpuTurns  # with aiohttp, which takes long to import

            inner.pool.share_gpu(gpus.setdefault(inner.config.gpu, GpuTurns()))


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
