"""Tiny Harbor tasks, written to a directory for a test."""

from pathlib import Path

TASK_TOML = """
version = "1.0"
{root}
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
    tables = {"root": "", "agent": "", "verifier": "", "environment": "", **tables}
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


VERIFIER_DOCKERFILE = "FROM heats-base:latest\nWORKDIR /check\nCOPY . /tests/\n"
REWARD = "then echo 1; else echo 0; fi >/logs/verifier/reward.txt\n"


def write_separate(folder: Path, name: str = "separate") -> Path:
    """A verifier in an image of its own, which sees an artifact, what a collect hook made, and nothing else.

    The verifier fails if the agent's home, its processes or an excluded file are there.
    """
    files = {
        "instruction.md": "Write the answer to out/answer.txt in /app.\n",
        "environment/Dockerfile": DOCKERFILE + "RUN mkdir out && touch out/draft.tmp && echo here >/agents-own\n",
        "solution/solve.sh": "#!/bin/bash\necho 42 >out/answer.txt; sleep 600 &\necho said >/logs/artifacts/note\n",
        "tests/Dockerfile": VERIFIER_DOCKERFILE,
        "tests/test.sh": "#!/bin/bash\nset -x\ncd /app/out\n"
        'if [ "$(cat answer.txt)" = "$(cat /tests/expected.txt)" ] && [ "$(cat /data/count)" = 1 ] && [ "$MODE" = own ] '
        "&& [ ! -e draft.tmp ] && [ ! -e /agents-own ] && ! pgrep -f 'sleep 600' && [ -e /logs/artifacts/note ]; "
        + REWARD,
    }
    root = 'artifacts = ["/data/count", { source = "/app/out", destination = "made", exclude = ["*.tmp"] }]'
    verifier = """environment_mode = "separate"
env = { MODE = "own" }
[[verifier.collect]]
command = "mkdir -p /data; ls /app/out/*.txt | wc -l >/data/count"
[verifier.environment]
memory_mb = 512
"""
    return write_task(folder, name, files, root=root, verifier=verifier)


def write_fresh(folder: Path, name: str = "fresh") -> Path:
    """A separate verifier without an image of its own: a fresh container of the agent's image gets the tests."""
    files = {"tests/test.sh": TEST_SH.replace("cat answer.txt", "cat answer.txt; ls /tmp/left 2>/dev/null")}
    files["solution/solve.sh"] = "#!/bin/bash\ntouch /tmp/left; echo 42 >answer.txt\n"
    return write_task(
        folder, name, files, root='artifacts = ["/app/answer.txt"]', verifier='environment_mode = "separate"'
    )


FIXED = "def total(prices, discount):\n    return sum(prices) * (100 - discount) / 100\n"
SHOP_TEST = """import unittest
from price import total


class PriceTest(unittest.TestCase):
    def test_no_discount(self):
        self.assertEqual(total([10, 20], 0), 30)

    def test_half_price(self):
        self.assertEqual(total([10, 20], 50), 15)
"""


def write_repository(folder: Path, name: str = "shop") -> Path:
    """A git repository with a bug, and a separate verifier that applies the diff which a collect hook makes."""
    commit = "git init -q && git add . && git -c user.name=a -c user.email=a@b commit -qm base && git tag base"
    files = {
        "instruction.md": "A discount makes things in /repo more expensive. Fix it.\n",
        "environment/Dockerfile": f"FROM heats-base:latest\nWORKDIR /repo\nCOPY price.py test_price.py ./\nRUN {commit}\n",
        "environment/price.py": FIXED.replace("-", "+"),
        "environment/test_price.py": SHOP_TEST,
        "environment/question.txt": "",
        "solution/solve.sh": "#!/bin/bash\nsed -i 's/100 + d/100 - d/' price.py\n",
        "tests/Dockerfile": f"FROM heats-base:latest\nWORKDIR /repo\nCOPY . /tests/\nRUN cp /tests/price.py . && {commit}\n",
        "tests/price.py": FIXED.replace("-", "+"),
        "tests/test.sh": "#!/bin/bash\nif git apply /logs/artifacts/model.patch && python3 -c "
        "'from price import total; assert total([10, 20], 25) == 22.5'; " + REWARD,
    }
    hook = '[[verifier.collect]]\ncommand = "git diff base >/logs/artifacts/model.patch"\n'
    return write_task(folder, name, files, verifier=f'environment_mode = "separate"\n{hook}')


KINDS = (write_task, write_separate, write_fresh, write_repository)
"""A writer for each kind of task."""
