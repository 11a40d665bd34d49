"""The README's shop, and a scripted model that repairs it with each agent's own tools."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.llm.base import Completion
from agents.llm.fake import calls, text

README = Path(__file__).resolve().parents[2] / "README.md"
TASK = "A discount makes things more expensive."
TESTS = "python3 -B -m unittest 2>&1 | tail -n 4"
"""Without bytecode, which an edit of the same size within the same second would leave in use."""
WRONG, BROKEN, RIGHT = "(100 + discount)", "(100 * discount)", "(100 - discount)"
Calls = Sequence[tuple[str, Mapping[str, Any]]]


def shop_files() -> dict[str, str]:
    """The files that the README writes."""
    return dict(re.findall(r"cat > (\S+) <<'END'\n(.*?)^END$", README.read_text(), re.DOTALL | re.MULTILINE))


def _claude(path: str) -> Calls:
    edit = {"file_path": path, "old_string": WRONG, "new_string": RIGHT}
    run = ("Bash", {"command": TESTS, "description": "Run the tests"})
    return [run, ("Read", {"file_path": path}), ("Edit", edit), run]


def _qwen(path: str) -> Calls:
    edit = {"file_path": path, "old_string": WRONG, "new_string": RIGHT}
    run = ("run_shell_command", {"command": TESTS, "is_background": False})
    return [run, ("read_file", {"file_path": path}), ("edit", edit), run]


def _gemini(path: str) -> Calls:
    edit = {"file_path": path, "old_string": WRONG, "new_string": RIGHT, "instruction": "Subtract the discount."}
    run = ("run_shell_command", {"command": TESTS, "description": "Run the tests"})
    return [run, ("read_file", {"file_path": path}), ("replace", edit), run]


def _opencode(path: str) -> Calls:
    edit = {"filePath": path, "oldString": WRONG, "newString": RIGHT}
    run = ("bash", {"command": TESTS, "description": "Run the tests"})
    return [run, ("read", {"filePath": path}), ("edit", edit), run]


def _codex(path: str) -> Calls:
    run = ("exec_command", {"cmd": TESTS})
    return [run, ("exec_command", {"cmd": f"sed -i 's/100 + discount/100 - discount/' {path}"}), run]


def _openhands(path: str) -> Calls:
    edit = {"command": "str_replace", "path": path, "old_str": WRONG, "new_str": RIGHT, "security_risk": "LOW"}
    run = ("terminal", {"command": TESTS, "security_risk": "LOW"})
    look = ("file_editor", {"command": "view", "path": path, "security_risk": "LOW"})
    return [run, look, ("file_editor", edit), run]


def _aider(messages: Sequence[Mapping[str, Any]]) -> Completion:
    """Ask for the file, repair it wrongly, then rightly once the tests, which Aider runs itself, have failed."""
    told = str(messages[-1]["content"])
    if "FAILED" in told:
        return text(_block(BROKEN, RIGHT))
    if any(WRONG in str(message["content"]) for message in messages):
        return text(_block(WRONG, BROKEN))
    return text("I need to see price.py.")


def _block(old: str, new: str) -> str:
    lines = [f"    return sum(prices) * {one} / 100" for one in (old, new)]
    return f"Repaired.\n\nprice.py\n```python\n<<<<<<< SEARCH\n{lines[0]}\n=======\n{lines[1]}\n>>>>>>> REPLACE\n```\n"


_BY_TOOL: Mapping[str, Callable[[str], Calls]] = {
    "Bash": _claude,
    "replace": _gemini,
    "file_editor": _openhands,
    "run_shell_command": _qwen,
    "bash": _opencode,
    "exec_command": _codex,
}


def repair(request: Mapping[str, Any], path: str = "/testbed/price.py") -> Completion:
    """Run the tests, repair the price, run the tests again, and say so; questions without tools get a title."""
    offered = {tool["function"]["name"] for tool in request.get("tools") or ()}
    script = next((make(path) for tool, make in _BY_TOOL.items() if tool in offered), None)
    if script is None and "SEARCH/REPLACE" in str(request["messages"][0]["content"]):
        return _aider(request["messages"])
    if script is None:
        return text("The shop")
    turn = sum(message["role"] == "assistant" for message in request["messages"])
    if turn >= len(script):
        return text("A discount was added instead of subtracted; it is subtracted now.")
    return calls(script[turn], content=f"Step {turn + 1}.", prefix=f"call{turn}")
