"""Signs in JavaScript that a test may pass by chance, and the modules of the tree that a file loads."""

import posixpath
import re

RANDOM = re.compile(
    rb"\bMath\s*\.\s*random\b|\bMath\s*\[|\b(?:random(?:Bytes|Int|UUID|Fill|FillSync)?|getRandomValues|pseudoRandomBytes|nanoid|"
    rb"uuid(?:v[147])?|v4|cuid2?|ulid|faker|chance|casual|seedrandom|shuffle|sampleSize|generateKey\w*)\b"
)
TIMING = re.compile(
    rb"\b(?:Date\s*\.\s*now|new\s+Date\s*(?:\(\s*\)|[;,)\s])|(?<!new )Date\s*\(|performance|hrtime|uptime|"
    rb"setTimeout|setInterval|setImmediate|nextTick|queueMicrotask|requestAnimationFrame|Worker|worker_threads|child_process|cluster|"
    rb"SharedArrayBuffer|Atomics|process\s*\.\s*(?:pid|memoryUsage|cpuUsage)|FinalizationRegistry|WeakRef|moment|dayjs)"
    rb"|\bPromise\s*\.\s*race\b"
)
_LOADED = re.compile(rb"(?:\brequire|\bimport|\bfrom|\bresolve)\s*\(?\s*[\"'`](\.{1,2}(?:/[^\"'`\n]*)?)[\"'`]")
_MOST_BYTES = 1 << 20
_ENDS = ("", ".js", ".cjs", ".mjs", ".ts", ".cts", ".mts", ".jsx", ".tsx")


def loaded(path: str, data: bytes) -> set[str]:
    """Paths in the tree where the modules that a file names by a relative path may be."""
    found: set[str] = set()
    for name in _LOADED.findall(data[:_MOST_BYTES]):
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), name.decode("utf-8", "replace")))
        stem = place if place != "." else ""
        found |= {stem + end for end in _ENDS} | {posixpath.join(stem, "index" + end) for end in _ENDS[1:]}
        # TypeScript names the file that it is compiled to.
        found |= {stem[: -len(old)] + new for old, new in _COMPILED if stem.endswith(old)}
    return found - {""}


_COMPILED = ((".js", ".ts"), (".js", ".tsx"), (".mjs", ".mts"), (".cjs", ".cts"))
