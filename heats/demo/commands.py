"""The bash commands that the policy sends."""

import functools
import hashlib
import json
import shlex
from collections.abc import Sequence
from importlib import resources
from typing import Any

from heats.demo.edits import Edit, Patch, patch_text

_SCRIPTS = (
    "repair_record.py",
    "repair_pytest.py",
    "repair_exec.py",
    "repair_rank.py",
    "repair_tree.py",
    "repair_run.py",
    "sitecustomize.py",
)
_QUIET = "export PYTHONDONTWRITEBYTECODE=1; "
_GUESS = """if python3 -c 'import pytest' 2>/dev/null; then T='python3 -m pytest -q'; else T='python3 -m unittest'; fi
echo 'repair {"k": "command", "text": "'"$T"'"}'
$T"""


@functools.lru_cache(maxsize=1)
def helpers() -> dict[str, str]:
    """The helper scripts by name."""
    folder = resources.files(__package__) / "probe"
    return {name: (folder / name).read_text(encoding="utf-8") for name in _SCRIPTS}


class Commands:
    """Writes commands for one conversation.

    Args:
        command: the project's test command; empty if it has to be guessed.
        workdir: directory to change to first; empty to stay where commands start.
        key: distinguishes this rollout's helper folder from others'.
        folder: the helper folder that this conversation already uses, whichever seed named it.
    """

    def __init__(self, command: str, workdir: str, key: str, folder: str = "") -> None:
        self.command = command
        named = "/tmp/repair-" + hashlib.sha256(key.encode()).hexdigest()[:10]  # noqa: S108 - in the sandbox
        self.folder = folder or named
        self.start = f"cd {shlex.quote(workdir)} || exit 1\n" if workdir else ""

    def look(self) -> str:
        """Look around."""
        return f"{self.start}ls"

    def tests(self) -> str:
        """Run the tests."""
        return f"{self.start}{_QUIET}{self.command or _GUESS}"

    def locate(self, words: Sequence[str], seconds: float) -> str:
        """Write the helper scripts, run the tests under them and rank the code."""
        parts = [f"mkdir -p {self.folder}"]
        parts += [_written(f"{self.folder}/{name}", text) for name, text in helpers().items()]
        want = {"command": self.command, "seconds": seconds, "words": list(words)}
        return "\n".join([*parts, self._call("locate", "locate", want)])

    def show(self, units: Sequence[dict[str, Any]], turn: int) -> str:
        """Print the source of units in the ranking."""
        return self._call("show", f"show-{turn}", {"command": self.command, "units": list(units)})

    def check(self, patches: Sequence[Patch], base: Patch, turn: int, seconds: float) -> str:
        """Try patches, each alone on top of the original files, and leave `base` applied.

        Args:
            patches: the patches to try.
            base: the edits to leave applied.
            turn: number of the turn, for file names.
            seconds: time limit of the command.
        """
        candidates = [{"text": patch_text(patch), "edits": _data(patch)} for patch in patches]
        want = {"command": self.command, "tag": f"c{turn}-", "seconds": seconds, "base": _data(base)}
        return self._call("check", f"check-{turn}", {**want, "candidates": candidates})

    def apply(self, patch: Patch) -> str:
        """Leave the tree with these edits and remove the helper scripts."""
        return self._call("apply", "apply", {"base": _data(patch)}) + f"\nrm -rf {self.folder}"

    def clean(self) -> str:
        """Remove the helper scripts."""
        return f"rm -rf {self.folder}"

    def _call(self, verb: str, name: str, want: dict[str, Any]) -> str:
        path = f"{self.folder}/{name}.json"
        lines = [_written(path, json.dumps(want, ensure_ascii=False))]
        lines.append(f"{self.start}python3 {self.folder}/repair_run.py {verb} {path}")
        return "\n".join(lines)


def _written(path: str, text: str) -> str:
    end = "END_OF_FILE"
    while end in text:
        end += "_"
    return f"cat > {path} <<'{end}'\n{text.rstrip()}\n{end}"


def _data(patch: Patch) -> list[dict[str, Any]]:
    return [_edit(edit) for edit in patch]


def _edit(edit: Edit) -> dict[str, Any]:
    return {"path": edit.path, "line": edit.line, "col": edit.col, "old": edit.old, "new": edit.new}
