"""Run by inspect_ai's own interpreter: writes one log in each format, with two epochs of one sample, into a folder."""

import sys
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool
from inspect_ai.scorer import Score, accuracy, scorer
from inspect_ai.solver import solver
from inspect_ai.tool import ToolCall

sys.path.insert(0, str(Path(__file__).parent))
from foreign_files import ID, diff


@scorer(metrics=[accuracy()])
def swe_bench_scorer():
    async def score(state, target):
        return Score(value=1.0, metadata={"model_patch": diff()})

    return score


@solver
def looks():
    async def solve(state, generate):
        call = ToolCall(id="c1", function="bash", arguments={"cmd": "cat note.txt"})
        state.messages.append(ChatMessageAssistant(content="look", tool_calls=[call]))
        state.messages.append(ChatMessageTool(content="old\n" * 500, tool_call_id="c1", function="bash"))
        return state

    return solve


for kind in ("eval", "json"):
    task = Task(dataset=[Sample(id=ID, input="It is old. " * 200)], solver=looks(), scorer=swe_bench_scorer(), epochs=2)
    eval(task, model="mockllm/model", log_dir=sys.argv[1], log_format=kind, display="none")
