"""A judge that writes a script and, in a sandbox, votes for a tree that passes its check (a `python:` model)."""

import json
import re

from agents.llm.fake import FakeModel, bash, calls, text

ASKED = []
"""Kinds of all requests, over all instances in this process."""


class Judge(FakeModel):
    """Votes by what it runs; its ordinary votes name the first candidate shown.

    The class attributes are set by tests: the script, the command that checks a tree (`LABEL` is replaced), and a
    command run before it.
    """

    script = 'python3 -c "from calc import clamp; print(clamp(5, 0, 3))"'
    check = "TREES/on LABEL 'python3 -c \"from calc import clamp; assert clamp(-5, 0, 3) == 0\"'"
    first = "ls TREES"
    seen = []

    def __init__(self, config):
        super().__init__(name=config.name)

    def _respond(self, request):
        schema = request.response_schema
        if schema is not None:
            ASKED.append(schema.name)
            if schema.name == "probe_script":
                return text(json.dumps({"reason": "try", "script": self.script}))
            label = schema.json_schema["properties"]["choice"]["enum"][0]
            return [text(json.dumps({"reason": "read", "choice": label}))] * request.n
        ASKED.append("inquiry")
        asked, labels = request.messages[1]["content"], self._labels(request)
        trees = re.search(r"The trees are in (\S+):", asked)[1]
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        type(self).seen += results[-1:]
        commands = [self.first, *(self.check.replace("LABEL", label) for label in labels)]
        if len(results) < len(commands):
            return bash(commands[len(results)].replace("TREES", trees))
        good = [label for label, said in zip(labels, results[1:], strict=True) if "exit code 0" in said]
        return calls(("vote", {"reason": "the check passes", "choice": (good or labels)[0]}))

    def _labels(self, request):
        (vote,) = (tool for tool in request.tools if tool.name == "vote")
        return vote.parameters["properties"]["choice"]["enum"]
