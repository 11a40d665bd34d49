"""Tiny Harbor tasks, written to a directory for a test."""

from pathlib import Path

TASK_TOML = """
version = "1.0"
[metadata]
difficulty = "easy"
[agent]
timeout_sec = 60
{agent}
[verifier]
timeout_sec = 30
{verifier}
[environment]
build_timeout_sec = 120
cpus = 1
memory = "1G"
{environment}
"""
TEST_SH = """#!/bin/bash
if [ "$(cat answer.txt)" = "$(cat /tests/expected.txt)" ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
"""
DOCKERFILE = "FROM heats-base:latest\nWORKDIR /app\nCOPY question.txt .\n"


def write_task(folder: Path, name: str = "answer", files: dict[str, str] | None = None, **tables: str) -> Path:
    """A task whose answer is 42; `files` replace or add, an empty one removes; `tables` adds lines to task.toml."""
    tables = {"agent": "", "verifier": "", "environment": "", **tables}
    contents = {
        "instruction.md": "Write the answer to /app/answer.txt.\n",
        "task.toml": TASK_TOML.format(**tables),
        "environment/Dockerfile": DOCKERFILE,
        "environment/question.txt": "six times seven\n",
        "tests/test.sh": TEST_SH,
        "tests/expected.txt": "42\n",
        "solution/solve.sh": "#!/bin/bash\necho 42 >answer.txt\n",
        **(files or {}),
    }
    for path, text in contents.items():
        target = folder / name / path
        if text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    return folder / name
