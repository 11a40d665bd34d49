"""Operators on strings: constants, formats, regular expressions."""

import ast
import difflib
import re
from collections.abc import Iterator

from heats.demo.operators.base import Code, Proposal

_PATTERN_CALLS = {"compile", "match", "search", "sub", "split", "fullmatch", "findall", "finditer"}
_SWAPS: dict[str, tuple[str, ...]] = {
    ",": (", ", ";"),
    ", ": (",", "; "),
    "-": ("_", " "),
    "_": ("-",),
    "\n": ("\r\n", " "),
    "/": ("//",),
    ".": (",",),
}
_PLACE = re.compile(r"\{([A-Za-z_]\w*)((?:\.\w+|\[[^\]]*\])*)(![rsa])?(:[^{}]*)?\}")


def _literal(code: Code, node: ast.Constant, value: str) -> str:
    """`value`, with the quotes of the constant it replaces."""
    match = re.match(r"(?i)^[rbuf]*('''|\"\"\"|'|\")", code.text(node))
    quote = match.group(1) if match else '"'
    written = repr(value)
    if quote[0] == '"' and '"' not in value and written[0] == "'":
        written = '"' + written[1:-1].replace("\\'", "'") + '"'
    return written


def texts(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """A text: emptied, trimmed, in another case, or one that the issue or a failure mentions."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or len(node.value) > 200:
        return
    value = node.value
    if isinstance(code.parents.get(node), ast.Expr) or "\n" in code.text(node):
        return
    near = {"": 0.15, value.strip(): 0.3, value.lower(): 0.15, value.upper(): 0.15, value + " ": 0.1, " " + value: 0.1}
    if value in (" ", ""):
        near.update({"": 0.4, " ": 0.4, ", ": 0.15, "\n": 0.15, "-": 0.1, "_": 0.1})
    near.update(dict.fromkeys(_SWAPS.get(value, ()), 0.3))
    if value.endswith("s") and len(value) > 3:
        near[value[:-1]] = 0.2
    elif value.isalpha() and len(value) > 2:
        near[value + "s"] = 0.12
    for hint in code.hints.strings:
        likeness = difflib.SequenceMatcher(None, value, hint).ratio()
        if likeness > 0.45:
            near[hint] = max(near.get(hint, 0), likeness)
    for other, weight in near.items():
        if other != value:
            yield _literal(code, node, other), weight


def patterns(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """A regular expression: other repetitions, anchors, greediness."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or "\n" in (text := code.text(node)):
        return
    parent = code.parents.get(node)
    called = isinstance(parent, ast.Call) and code.text(parent.func).rsplit(".", 1)[-1] in _PATTERN_CALLS
    if not called and not re.search(r"\\[swdbSWDB]|\[[^\]]+\][+*]|\(\?", node.value):
        return
    body = re.match(r"(?i)^([rbu]*(?:'''|\"\"\"|'|\"))(.*?)('''|\"\"\"|'|\")$", text)
    if body is None:
        return
    start, inner, quote = body.groups()
    for match in re.finditer(r"(?<!\\)[+*?]", inner):
        at, sign = match.start(), match.group()
        for other in {"+": ("*", "+?", "?"), "*": ("+", "*?", ""), "?": ("*", "")}[sign]:
            yield start + inner[:at] + other + inner[at + 1 :] + quote, 0.4
    for match in re.finditer(r"\\[swdSWD](?![+*?{])", inner):
        for sign in "+*?":
            yield start + inner[: match.end()] + sign + inner[match.end() :] + quote, 0.25
    for match in re.finditer(r"\\([swdSWDbB])", inner):
        yield start + inner[: match.start(1)] + match.group(1).swapcase() + inner[match.end(1) :] + quote, 0.15
    anchored = inner[1:] if inner.startswith("^") else "^" + inner
    yield start + anchored + quote, 0.25
    yield start + (inner[:-1] if inner.endswith("$") else inner + "$") + quote, 0.25


def formats(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """A format: a forgotten f, digits, alignment, conversion, wrapped values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = code.text(node)
        used = [match.group(1) for match in _PLACE.finditer(node.value)]
        parent = code.parents.get(node)
        formatted = isinstance(parent, ast.Attribute) and parent.attr == "format"
        if used and not formatted and text[:1] in "'\"" and set(used) <= {*code.variables, "self", *code.hints.module}:
            yield "f" + text, 1.5
        for match in re.finditer(r"%[\d.]*([dsrfi])", text):
            for other in "dsrf":
                if other != match.group(1):
                    yield text[: match.start(1)] + other + text[match.end(1) :], 0.15
    if not (isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))):
        return
    text = code.text(node)
    for match in re.finditer(r":([^{}\d]?\d*)\.(\d)([fge%])", text):
        for digits in {int(match.group(2)) + 1, max(0, int(match.group(2)) - 1)} - {int(match.group(2))}:
            yield text[: match.start(2)] + str(digits) + text[match.end(2) :], 0.4
    for match in re.finditer(r":[^{}<>^]?([<>^])\d", text):
        for sign in "<>^".replace(match.group(1), ""):
            yield text[: match.start(1)] + sign + text[match.end(1) :], 0.4
    for match in re.finditer(r":(0?)(\d)(d?)\}", text):
        pad = "" if match.group(1) else "0"
        yield text[: match.start(1)] + pad + text[match.end(1) :], 0.4
    if isinstance(node, ast.JoinedStr):
        yield from _places(code, text)


def _places(code: Code, text: str) -> Iterator[Proposal]:
    """The `{name}` parts of an f-string, found in the text: before 3.12 the parser gives no exact positions."""
    for match in _PLACE.finditer(text):
        name, trail, conversion, form = match.group(1), match.group(2), match.group(3) or "", match.group(4) or ""
        before, after = text[: match.start()], text[match.end() :]
        value = name + trail
        for function, weight in (("int", 0.3), ("str", 0.1), ("round", 0.1), ("len", 0.1), ("abs", 0.1)):
            yield f"{before}{{{function}({value}){conversion}{form}}}{after}", weight
        yield f"{before}{{{value}{'' if conversion else '!r'}{form}}}{after}", 0.2
        for change in (" + 1", " - 1"):
            yield f"{before}{{{value}{change}{form}}}{after}", 0.15
        for other in [variable for variable in code.variables if variable != name][:6]:
            yield f"{before}{{{other}{conversion}{form}}}{after}", 0.15


def membership(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`x in ("A", "B")` with a missing or superfluous text."""
    if not isinstance(node, ast.Tuple | ast.List | ast.Set) or len(node.elts) < 1:
        return
    values = [element.value for element in node.elts if isinstance(element, ast.Constant)]
    if len(values) != len(node.elts) or not all(isinstance(value, str) for value in values):
        return
    texts_of = [str(value) for value in values]
    whole, last = code.text(node), code.text(node.elts[-1])
    at = whole.rindex(last) + len(last)
    for word in sorted(code.hints.words):
        same_case = [f(word) for f in (str.upper, str.lower) if all(f(value) == value for value in texts_of)]
        new = same_case[0] if same_case else word
        if new not in texts_of and 2 <= len(new) <= 20 and (word != word.lower() or len(word) > 3):
            yield f"{whole[:at]}, {_literal(code, node.elts[-1], new)}{whole[at:]}", 0.12  # type: ignore[arg-type]
    for element, following in zip(node.elts, node.elts[1:], strict=False):
        dropped = code.text(element) + code.between(element, following)
        if whole.count(dropped) == 1:
            yield whole.replace(dropped, "", 1), 0.08


OPERATORS = {"text": texts, "pattern": patterns, "format": formats, "membership": membership}
