"""Data sets that need an optional dependency: parquet and Arrow files, and the Hub."""

import re
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from core.registry import optional_module
from envs.errors import TaskError
from envs.swebench.datasets import EVERY

_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 120.0

KINDS = (".parquet", ".jsonl", ".json", ".csv")
"""Endings of files with rows on the Hub; if a split has several kinds, the first is read."""


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


def fetch_hub(name: str, split: str, revision: str | None = None) -> tuple[list[Path], str]:
    """Fetch one split of a data set on the Hub, or find it in the Hub's own cache when offline.

    Args:
        name: `owner/name`.
        split: the split; `*` for all files.
        revision: commit, branch or tag; by default the newest.

    Returns:
        The split's files of the first kind that there is, and the commit that they belong to.

    Raises:
        ExtraMissing: the Hub's library is not installed.
        TaskError: no such data set, revision or split, or no network.
    """
    hub = optional_module("huggingface_hub", f"the data set {name}")
    patterns = [pattern for kind in KINDS for pattern in _patterns(split, kind)]
    for last in (False, False, True):
        try:
            folder = Path(hub.snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns))
            break
        except Exception as error:  # the library, its HTTP client and the system each raise their own
            pause_s = None if last else _pause(error)
            if pause_s is None:
                raise TaskError(_why(name, revision, error)) from None
            time.sleep(pause_s)
    for kind in KINDS:
        if found := _matching(folder, _patterns(split, kind)):
            return found, folder.name
    raise TaskError(f"the data set {name} has no files of split {split} on the Hub{_splits(hub, name, folder.name)}")


def _patterns(split: str, kind: str) -> list[str]:
    """Names of a split's files on the Hub, all with one ending."""
    if split == EVERY:
        return [f"*{kind}"]
    names = (f"{split}{kind}", f"{split}-*{kind}", f"{split}/*{kind}")
    return [*names, *(f"*/{one}" for one in names)]


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files of a snapshot: of earlier fetches, it may hold other splits."""
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    return [one for one in files if any(fnmatch(one.relative_to(folder).as_posix(), pattern) for pattern in patterns)]


def _pause(error: BaseException | None) -> float | None:
    """Seconds until another attempt may help: what a busy Hub asks for, within limits; None if it will not help."""
    while error is not None:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", 0)
        if status == 429 or status >= 500:
            asked = str(getattr(response, "headers", {}).get("Retry-After", ""))
            return min(float(asked), _LONGEST_PAUSE_S) if asked.isdigit() else _PAUSE_S
        error = error.__cause__ or error.__context__
    return None


def _why(name: str, revision: str | None, error: Exception) -> str:
    """What a failed download means and what to do, in one line."""
    kind, reason = type(error).__name__, " ".join(str(error).split())[:160]
    at = f" at revision {revision}" if revision else ""
    known = {
        "RepositoryNotFoundError": f"the Hub has no data set {name}, or it is private: check the name, or set HF_TOKEN",
        "GatedRepoError": f"the data set {name} is gated: accept its terms on the Hub, and set HF_TOKEN",
        "RevisionNotFoundError": f"the data set {name} has no revision {revision}",
    }
    return known.get(kind) or (
        f"cannot fetch the data set {name}{at} from the Hub ({kind}: {reason}); "
        "offline, give a file: .json, .jsonl or .parquet"
    )


def _splits(hub: Any, name: str, commit: str) -> str:
    """The splits that a data set has instead, if the Hub can be asked."""
    try:
        files = hub.HfApi().list_repo_files(name, repo_type="dataset", revision=commit)
    except Exception:  # offline, for example: then nothing is known
        return ""
    stems = {PurePosixPath(one).stem for one in files if one.endswith(KINDS)}
    found = sorted({re.sub(r"-\d+-of-\d+$", "", one) for one in stems})
    return f"; it has {', '.join(found[:10])}: choose one with --split" if found else ""
