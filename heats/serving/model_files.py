"""Model properties read from its files before serving: tool support of the chat template, and memory needs."""

import json
import os
import re
from pathlib import Path
from typing import Any

from core.textfile import read_text

_TOOLS = re.compile(r"\{[{%](?:(?!%\}|\}\}).)*?\btools\b", re.DOTALL)


def folder_of(model: str) -> Path | None:
    """Return the directory with a model's files: the path itself or the Hugging Face cache; None if there is none."""
    if Path(model).is_dir():
        return Path(model)
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    kept = cache / f"models--{model.replace('/', '--')}" / "snapshots"
    return max(kept.glob("*/"), key=lambda folder: folder.stat().st_mtime, default=None) if kept.is_dir() else None


def knows_tools(model: str) -> bool | None:
    """Whether a model's chat template renders the tools of a request; None if no template is found."""
    folder = folder_of(model)
    templates = [] if folder is None else _templates(folder)
    return any(_TOOLS.search(one) for one in templates) if templates else None


def _templates(folder: Path) -> list[str]:
    found = [path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("chat_template*.jinja")]
    for name in ("chat_template.json", "tokenizer_config.json"):
        given = read_object(folder / name).get("chat_template")
        if isinstance(given, str):
            found.append(given)
        elif isinstance(given, list):  # several named templates, one of which may be for tools
            found += [str(one.get("template")) for one in given if isinstance(one, dict)]
    return found


def weight_bytes(model: str) -> int:
    """Return the size of a model's weights in bytes; 0 if they are not present."""
    folder = folder_of(model)
    return 0 if folder is None else sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def cache_bytes_per_token(model: str) -> int:
    """Return the KV-cache size per token in bytes, at two bytes per value; 0 if the model's shapes are unknown."""
    config = shapes(model)
    try:
        heads = int(config["num_attention_heads"])
        size = int(config.get("head_dim") or config["hidden_size"] // heads)
        return 2 * 2 * size * int(config.get("num_key_value_heads") or heads) * int(config["num_hidden_layers"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0


def longest_context(model: str) -> int:
    """Return the maximum context length of a model in tokens; 0 if it is unknown."""
    longest = shapes(model).get("max_position_embeddings")
    return longest if isinstance(longest, int) else 0


def shapes(model: str) -> dict[str, Any]:
    """Return the model's configuration (of its text part if it has several); empty if there is none."""
    folder = folder_of(model)
    config = {} if folder is None else read_object(folder / "config.json")
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; empty if there is none."""
    try:
        found = json.loads(read_text(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
