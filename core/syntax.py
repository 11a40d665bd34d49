"""Parse Python source into syntax trees, one at a time per process.

CPython 3.11 tracks AST recursion depth across threads and raises `SystemError: AST constructor recursion depth
mismatch` when two threads convert trees at once. Every `ast.parse` in heats goes through this module.
"""

import ast
import threading
from typing import Literal, overload

_ONE_AT_A_TIME = threading.Lock()
_MOST_BYTES = 4 << 20


@overload
def parse_python(source: str | bytes, mode: Literal["exec"] = "exec") -> ast.Module: ...
@overload
def parse_python(source: str | bytes, mode: Literal["eval"]) -> ast.Expression: ...
def parse_python(source: str | bytes, mode: Literal["exec", "eval"] = "exec") -> ast.Module | ast.Expression:
    """Parse untrusted Python source.

    Raises:
        SyntaxError: the source is not valid Python, exceeds 4 MiB, or is nested too deeply.
    """
    if len(source) > _MOST_BYTES:
        raise SyntaxError("the source is too long to be parsed")
    try:
        with _ONE_AT_A_TIME:
            tree = ast.parse(source, mode=mode)
    except (RecursionError, MemoryError, ValueError) as error:
        raise SyntaxError(f"the source cannot be parsed: {error or type(error).__name__}") from None
    assert isinstance(tree, ast.Module | ast.Expression)
    return tree
