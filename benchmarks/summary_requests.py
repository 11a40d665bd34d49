"""How large the requests for summaries are, on attempts as long as real ones.

    python -m benchmarks.summary_requests

The attempts are composed of Python's own sources and pytest output: a third of the steps look at files, a third run
tests, the rest edit and try things out. No model is called: its replies are made up, too.
"""

import argparse
import asyncio
import inspect
import json
import random
import textwrap
from collections.abc import Iterator

from agents.llm.base import ToolCall
from agents.llm.fake import FakeModel
from agents.llm.ledger import Ledger
from agents.trajectory import Exit, Observation, Step, Trajectory
from heats.config import load_config
from summarizer import summarize
from summarizer.schema import draft_schema

STATEMENT = textwrap.fill(inspect.getdoc(argparse.ArgumentParser.add_argument) or "", 100) + inspect.cleandoc(
    """
    When a parser is built with `allow_abbrev=False`, an option of which another one is a prefix is still taken for an
    abbreviation as soon as its value follows after an equals sign. Expected: an error that names the option. Actual:
    the value is stored under the longer name, and nothing is said. The same happens in parsers with subcommands.
    """
)
SOURCES = inspect.getsource(argparse).split("\n")


def step(number: int, words: str, command: str, output: str, exit_code: int) -> Step:
    """An agent's step with one bash call, with its output truncated as the agent does.

    Args:
        number: number of the step.
        words: the agent's text.
        command: the command.
        output: its output.
        exit_code: its exit code.
    """
    call = ToolCall(id=f"c{number}", name="bash", arguments=json.dumps({"command": command}))
    shown = output if len(output) <= 10_000 else output[:5000] + "\n[... left out ...]\n" + output[-5000:]
    seen = Observation(tool_call_id=call.id, content=f"exit code {exit_code}\noutput:\n{shown}", exit_code=exit_code)
    return Step(id=number, source="agent", content=words, tool_calls=(call,), observations=(seen,))


def lines(rng: random.Random, size: int) -> str:
    """About `size` characters of source."""
    start = rng.randrange(len(SOURCES) - 400)
    text = "\n".join(SOURCES[start : start + 400])
    return text[:size]


def test_output(rng: random.Random, size: int, failed: int) -> str:
    """pytest output of about `size` characters.

    Args:
        rng: source of randomness.
        size: number of characters.
        failed: number of failing tests.
    """
    trace = textwrap.indent(lines(rng, size), "    ")
    names = "\n".join(f"FAILED tests/test_abbrev.py::test_case_{number} - AssertionError" for number in range(failed))
    end = f"{failed} failed, {40 - failed} passed in 1.31s" if failed else "40 passed in 1.12s"
    return f"{'.' * 40}\n=== FAILURES ===\n{trace}\n=== short test summary info ===\n{names}\n{end}" if failed else end


def agent_steps(rng: random.Random, count: int) -> Iterator[Step]:
    """The steps of one attempt."""
    for number in range(3, count + 3):
        size = rng.randrange(2000, 8000)
        words = f"I look at how the values are split, to see whether step {number} holds for subcommands as well. " * 2
        match number % 6:
            case 0 | 3:
                command = f"cd /testbed && sed -n {number * 40},{number * 40 + 180}p src/cli/parser_{number}.py"
                yield step(number, words, command, lines(rng, size), 0)
            case 1:
                yield step(
                    number, words, f"cd /testbed && grep -rn 'prefix_{number}' src | head -80", lines(rng, size), 0
                )
            case 2:
                edit = f"cd /testbed && python - <<'EOF'\n{lines(rng, rng.randrange(500, 1800))}\nEOF"
                yield step(number, words, edit, "", 0)
            case _:
                failed = 3 if number < count * 0.7 else 0
                command = f"cd /testbed && python -m pytest tests/test_abbrev_{number}.py 2>&1 | tail -120"
                yield step(number, words, command, test_output(rng, size, failed), 0)


def attempt(seed: int, count: int, earlier: int) -> Trajectory:
    """One rollout with a number of steps, shown a number of earlier attempts.

    Args:
        seed: seed of the texts.
        count: number of steps.
        earlier: number of earlier attempts in its prompt.
    """
    rng = random.Random(seed)
    records = "".join(f"\n\n### Attempt {one + 1}\n\n{lines(rng, 2100)}" for one in range(earlier))
    told = f"## Task\n\n{STATEMENT}\n\nWorking directory: /testbed" + (
        f"\n\n## Earlier attempts{records}" * bool(earlier)
    )
    first = (Step(id=1, source="system", content="rules"), Step(id=2, source="user", content=told))
    steps = (*first, *agent_steps(rng, count))
    end = Exit(kind="submitted")
    return Trajectory(id="heat-0/rollout-00", task_id="t", agent="bash", model="m", seed=0, steps=steps, exit=end)


def patch(seed: int) -> bytes:
    """A diff of about 1,500 characters."""
    body = [f"+{line}" for line in lines(random.Random(seed), 1400).split("\n")]
    head = ["diff --git a/src/cli/parser.py b/src/cli/parser.py", "--- a/src/cli/parser.py", "+++ b/src/cli/parser.py"]
    return "\n".join([*head, f"@@ -10,0 +11,{len(body)} @@", *body, ""]).encode()


def draft() -> str:
    """A valid reply, with arbitrary field values."""
    properties = draft_schema()["properties"]
    return json.dumps({name: [] if field.get("type") == "array" else "text" for name, field in properties.items()})


async def size_of(seed: int, count: int, earlier: int) -> tuple[int, int]:
    """Number of requests, and of characters in all their messages.

    Args:
        seed: seed of the attempt.
        count: number of steps.
        earlier: number of earlier attempts in its prompt.
    """
    model, config = FakeModel(responder=lambda _: draft()), load_config(()).summarizer
    await summarize(
        attempt(seed, count, earlier),
        statement=STATEMENT,
        patch=patch(seed),
        model=model,
        ledger=Ledger("bench"),
        config=config,
        seed=seed,
    )
    sizes = [sum(len(message["content"]) for message in request.messages) for request in model.requests]
    return len(sizes), sum(sizes)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    print("| steps | earlier attempts | requests | characters | tokens, about |\n| --: | --: | --: | --: | --: |")
    for count, earlier in ((8, 0), (30, 0), (30, 2), (100, 0)):
        found = [asyncio.run(size_of(seed, count, earlier)) for seed in range(options.seeds)]
        requests, chars = (sum(column) / len(found) for column in zip(*found, strict=True))
        print(f"| {count} | {earlier} | {requests:.1f} | {chars:,.0f} | {chars / 4:,.0f} |")


if __name__ == "__main__":
    main()
