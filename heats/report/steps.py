"""The steps of a trajectory as HTML, built without templates: a large run has a hundred thousand of them."""

from collections.abc import Iterable

from markupsafe import Markup, escape

from agents.trajectory import Observation, Step
from core.sanitize import excerpt, one_line
from heats import formatting as say


def steps_html(anchor: str, steps: Iterable[Step], limit: int) -> Markup:
    """All steps, collapsed. Every text is sanitised by `excerpt` or `one_line`, and escaped.

    Args:
        anchor: address of the rollout.
        steps: the steps.
        limit: maximum characters shown per text.
    """
    place = escape(anchor)
    return Markup("\n".join([_step(place, step, limit) for step in steps]))  # noqa: S704 - escaped text by text


def _step(place: Markup, step: Step, limit: int) -> str:
    commands = [(call.name, excerpt(say.command(call.arguments), limit)) for call in step.tool_calls]
    bad = next((one for one in reversed(step.observations) if one.exit_code != 0), None)
    pill = f'<span class="pill bad">{_status(bad)}</span>' if bad is not None else ""
    title = one_line(commands[0][1] if commands else step.content, 140)
    parts = [
        f'<details class="step" id="{place}/{step.id}"><summary>',
        f'<span class="key">{step.id}</span><span class="soft from">{step.source}</span>',
        f'<span class="mono">{escape(title)}</span><span>{pill} <span class="soft">{_about(step)}</span></span>',
        '</summary><div class="inside">',
    ]
    if step.reasoning:
        parts.append(f'<p class="thought">{escape(excerpt(step.reasoning, limit))}</p>')
    if step.content:
        said = escape(excerpt(step.content, limit))
        parts.append(f'<p class="said">{said}</p>' if step.source == "agent" else f"<pre>{said}</pre>")
    for name, command in commands:
        label = "" if name == "bash" else f'<span class="soft">{escape(one_line(name, 60))}</span>'
        parts.append(f'{label}<pre class="command">{escape(command)}</pre>')
    parts += [_result(one, limit) for one in step.observations]
    parts.append("</div></details>")
    return "".join(parts)


def _result(one: Observation, limit: int) -> str:
    tone = "good" if one.exit_code == 0 else "bad"
    return f'<pre class="output {tone}" data-said="{_status(one)}">{escape(excerpt(one.content, limit))}</pre>'


def _status(one: Observation) -> str:
    if one.exit_code is not None:
        return f"exit code {one.exit_code}"
    return str(escape(one_line(one.status.replace("_", " "), 40)))


def _about(step: Step) -> str:
    about = [f"{say.count(step.usage.tokens)} tokens"] if step.usage is not None else []
    about += [say.duration(one.duration_s) for one in step.observations if one.duration_s]
    return " \u00b7 ".join(about)
