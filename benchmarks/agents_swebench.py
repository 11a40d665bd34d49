"""Each agent that heats installs on one SWE-bench instance: a scripted model has it apply upstream's fix by its tools.

    python -m benchmarks.agents_swebench rows.jsonl psf__requests-5414 --agents codex,gemini-cli

Needs Docker and the instance's image; see docs/swebench.md. Each agent runs without network and key, its tree is graded
by the instance's hidden tests (`-c grade=false`: not), and the server's count of replies stands beside the record's.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents import INSTALLED
from agents.llm.base import Completion
from agents.llm.fake import calls, text
from agents.llm.fake_server import FakeServer, ServerOptions

_SHELLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Bash": ("command", {"description": "Apply the fix"}),
    "run_shell_command": ("command", {"description": "Apply the fix", "is_background": False}),
    "bash": ("command", {"description": "Apply the fix"}),
    "exec_command": ("cmd", {}),
    "terminal": ("command", {"security_risk": "LOW"}),
}
"""The agents' shells: the parameter that takes the command, and what else they want."""
_HUNK = re.compile(r"^@@[^\n]*\n((?:[ +\\-][^\n]*\n|\n)*)", re.MULTILINE)


def fixes(patch: str) -> Callable[[Mapping[str, Any]], Completion]:
    """A model that applies a patch by the agent's shell, or by edit blocks if it offers no tools."""
    apply = f"git apply -v <<'END_OF_PATCH'\n{patch}\nEND_OF_PATCH\n"

    def answer(request: Mapping[str, Any]) -> Completion:
        messages = request["messages"]
        offered = {tool["function"]["name"] for tool in request.get("tools") or ()}
        shell = next((name for name in _SHELLS if name in offered), None)
        if shell is not None:
            turn = sum(message["role"] == "tool" for message in messages)
            key, more = _SHELLS[shell]
            command = (apply, "git diff --stat")[turn] if turn < 2 else None
            return calls((shell, {key: command, **more}), prefix=f"call{turn}") if command else text("It is fixed.")
        if "SEARCH/REPLACE" not in str(messages[0]["content"]):
            return text("A fix")
        asked = any("I need to see" in str(message["content"]) for message in messages)
        return text(
            edit_blocks(patch) if asked else f"I need to see {', '.join(re.findall(r'^[+]{3} b/(.*)$', patch, re.M))}."
        )

    return answer


def edit_blocks(patch: str) -> str:
    """A patch as Aider's edit blocks."""
    made = []
    for part in re.split(r"^diff --git .*$", patch, flags=re.MULTILINE)[1:]:
        path = re.search(r"^[+]{3} b/(.*)$", part, re.MULTILINE)
        for hunk in _HUNK.finditer(part):
            lines = hunk[1].splitlines()
            old = [line[1:] for line in lines if line[:1] in (" ", "-", "")]
            new = [line[1:] for line in lines if line[:1] in (" ", "+", "")]
            block = ["<<<<<<< SEARCH", *old, "=======", *new, ">>>>>>> REPLACE"]
            made.append("\n".join([path[1] if path else "", "```python", *block, "```"]))
    return "\n\n".join(made)


async def _played(agent: str, row: Mapping[str, Any], rows: Path, settings: Sequence[str]) -> str:
    async with FakeServer(fixes(row["patch"]), ServerOptions(context=200_000)) as server:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            argv = [sys.executable, "-m", "heats", "sweep", str(rows), "-i", row["instance_id"], "--agent", agent]
            argv += ["--model", "fake-model", "--base-url", server.base_url, "--rollouts", "1", "--iterations", "1"]
            argv += ["--sandbox", "docker", "--out", str(out), "--progress", "plain"]
            process = await asyncio.create_subprocess_exec(
                *argv, *settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            output = (await process.communicate())[0].decode("utf-8", "replace")
            found = next(out.glob("**/rollout-*/outcome.json"), None)
            trajectory = next(out.glob("**/rollout-*/trajectory.json"), None)
            if found is None or trajectory is None:
                return f"no rollout: {output[-600:]}"
            steps = json.loads(trajectory.read_text())["steps"]
            replies = sum(step["source"] == "agent" for step in steps)
            graded = re.findall(r"graded: (.*)", output)
            ended = json.loads(found.read_text())
            return (
                f"{ended['exit']}, patch {ended['patch_sha256'][:12]}, {graded[-1] if graded else 'not graded'}; "
                f"{replies} replies in the record, {server.counts['replies']} of the server"
            )


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("instance")
    parser.add_argument("--agents", default=",".join(INSTALLED))
    parser.add_argument("-c", dest="settings", action="append", default=[])
    given = parser.parse_args()
    (row,) = [
        one for one in map(json.loads, given.rows.read_text().splitlines()) if one["instance_id"] == given.instance
    ]
    settings = [word for one in given.settings for word in ("-c", one)]
    for agent in given.agents.split(","):
        print(f"{agent}: {await _played(agent, row, given.rows, settings)}", flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
