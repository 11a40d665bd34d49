"""What the files of a model say before it is served: whether its chat template knows tools, and what it takes up."""

import json
import os
import re
from pathlib import Path
from typing import Any

_TOOLS = re.compile(r"\{[{%](?:(?!%\}|\}\}).)*?\btools\b", re.DOTALL)


def folder_of(model: str) -> Path | None:
    """The directory with a model's files: itself, or the one in Hugging Face's cache; None where there is none."""
    if Path(model).is_dir():
        return Path(model)
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    kept = cache / f"models--{model.replace('/', '--')}" / "snapshots"
    return max(kept.glob("*/"), key=lambda folder: folder.stat().st_mtime, default=None) if kept.is_dir() else None


def knows_tools(model: str) -> bool | None:
    """Whether a model's chat template shows it the tools of a request; None where no template is found."""
    folder = folder_of(model)
    templates = [] if folder is None else _templates(folder)
    return any(_TOOLS.search(one) for one in templates) if templates else None


def _templates(folder: Path) -> list[str]:
    found = [path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("chat_template*.jinja")]
    for name in ("chat_template.json", "tokenizer_config.json"):
        given = read_object(folder / name).get("chat_template")
        if isinstance(given, str):
            found.append(given)
        elif isinstance(given, list):  # several by name, of which one may be for tools
            found += [str(one.get("template")) for one in given if isinstance(one, dict)]
    return found


def weight_bytes(model: str) -> int:
    """Size of a model's weights; 0 where they are not there."""
    folder = folder_of(model)
    return 0 if folder is None else sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def cache_bytes_per_token(model: str) -> int:
    """What a token takes up in the KV cache at two bytes a number; 0 where the model's shapes are not known."""
    config = shapes(model)
    try:
        heads = int(config["num_attention_heads"])
        size = int(config.get("head_dim") or config["hidden_size"] // heads)
        return 2 * 2 * size * int(config.get("num_key_value_heads") or heads) * int(config["num_hidden_layers"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0


def longest_context(model: str) -> int:
    """Tokens that a model was made for; 0 where that is not known."""
    longest = shapes(model).get("max_position_embeddings")
    return longest if isinstance(longest, int) else 0


def shapes(model: str) -> dict[str, Any]:
    """The model's configuration, of the text part where it has several; empty where it is not there."""
    folder = folder_of(model)
    config = {} if folder is None else read_object(folder / "config.json")
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object of a file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
