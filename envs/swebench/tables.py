"""Data sets that need an optional dependency: parquet and Arrow files, and the Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.registry import optional_module
from envs.errors import TaskError


def read_parquet(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of parquet files.

    Raises:
        ExtraMissing: pyarrow is not installed.
        ValueError: not parquet.
    """
    parquet = optional_module("pyarrow.parquet", "a parquet file")
    return [row for path in paths for row in parquet.ParquetFile(path).read().to_pylist()]


def read_arrow(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of a data set saved to a directory by `datasets`.

    Raises:
        ExtraMissing: pyarrow is not installed.
        ValueError: not Arrow.
    """
    ipc = optional_module("pyarrow.ipc", "an Arrow file")
    rows: list[dict[str, Any]] = []
    for path in paths:
        with path.open("rb") as file, ipc.open_stream(file) as reader:
            rows += reader.read_all().to_pylist()
    return rows


def read_hub(name: str, split: str) -> list[dict[str, Any]]:
    """Rows of a data set on the Hub, served from the Hub's own cache when offline.

    Raises:
        ExtraMissing: the Hub's library is not installed.
        TaskError: no such data set, or no network.
    """
    hub = optional_module("huggingface_hub", f"the data set {name}")
    patterns = [f"{split}.parquet", f"**/{split}-*.parquet", f"**/{split}.parquet", f"**/{split}/*.parquet"]
    try:
        folder = Path(hub.snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except Exception as error:  # the library, its HTTP client and the system each raise their own
        reason = " ".join(str(error).split())[:160]
        raise TaskError(
            f"cannot fetch the data set {name} from the Hub ({type(error).__name__}: {reason}); "
            "offline, give a file: .json, .jsonl or .parquet"
        ) from None
    found = sorted(folder.rglob("*.parquet"))
    if not found:
        raise TaskError(f"the data set {name} has no parquet files of split {split} on the Hub")
    return read_parquet(found)
