"""Check that Python finds heats' own packages. Imports none of them, as they may belong to another distribution.

heats ships several top-level names. Another distribution that ships the same name (`agents` is also openai-agents')
overwrites it when installed into the same environment; a folder of that name on Python's path shadows it.
"""

import hashlib
import importlib.util
import re
from base64 import urlsafe_b64encode
from importlib import metadata
from pathlib import Path

PACKAGES = ("core", "tournament", "summarizer", "envs", "agents", "sandbox", "configs")
"""Top-level packages that ship with heats, beside `heats` itself."""
_WAY_OUT = "install heats in a separate environment (`uv tool install heats` or `pipx install heats`)"


def replaced() -> str | None:
    """A package that was replaced, and the remedy, in one line; None if all packages are ours."""
    home = Path(__file__).resolve().parent.parent
    hashes = _recorded()
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        ours = home / name / "__init__.py"
        if found == ours and hashes.get(name, "") in ("", _hash(ours)):
            continue
        owner = _owner(name)
        if owner:
            return f"another distribution, {owner}, has replaced heats' package `{name}`: {_WAY_OUT}"
        if found is None:
            return f"heats' package `{name}` is missing: install heats again, or {_WAY_OUT}"
        return f"heats' package `{name}` is hidden by {found.parent}: run heats elsewhere, or {_WAY_OUT}"
    return None


def _recorded() -> dict[str, str]:
    """Hashes of the packages' `__init__.py` as installed; empty for a development install."""
    try:
        record = metadata.distribution("heats").read_text("RECORD") or ""
    except metadata.PackageNotFoundError:
        return {}
    return dict(re.findall(r"^(\w+)/__init__\.py,sha256=([\w-]+)", record, re.MULTILINE))


def _hash(path: Path) -> str:
    try:
        return urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
    except OSError:
        return "missing"


def _owner(name: str) -> str:
    """Another distribution that claims to ship the package."""
    owners = {owner for owner in metadata.packages_distributions().get(name, ()) if owner != "heats"}
    return ", ".join(sorted(owners))
