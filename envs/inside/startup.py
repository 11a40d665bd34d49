"""Start-up hook, written to the sandbox as `sitecustomize.py` and loaded through PYTHONPATH by every Python process.

It waits for pytest or unittest to be imported and passes the module to the recorder; other processes are left alone.
Python 3.6 or later, standard library only: this runs in the user's image, not in ours.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RECORDER = "heats_recorder"
VARIABLE = "HEATS_RESULTS"
"""Both are replaced by random names when the file is written."""

HERE = os.path.dirname(os.path.abspath(__file__))


class Finder:
    """Finds the modules of test runners as usual, and passes each to the recorder after it has been executed."""

    waiting = {"_pytest.config": "watch_pytest", "unittest.runner": "watch_unittest"}

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Find a watched module through the other finders; see `importlib.abc.MetaPathFinder.find_spec`.

        Args:
            name: full name of the module.
            path: search path of the parent package.
            target: module object being reloaded, if any.
        """
        watch = self.waiting.pop(name, None)
        if watch is None:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            found = find and find(name, path, target)
            if found is not None:
                show(found.loader, watch)
                return found
        return None


def show(loader: "Any", watch: str) -> None:
    """Make the loader call the recorder function named `watch` with the module it has executed."""
    execute = loader.exec_module

    def exec_module(module: "Any") -> None:
        execute(module)
        getattr(__import__(RECORDER), watch)(module)

    if hasattr(loader, "__dict__"):  # otherwise its attributes are read-only, and this runner goes unrecorded
        loader.exec_module = exec_module


def load_shadowed() -> None:
    """Execute the `sitecustomize.py` that ours shadows."""
    for entry in sys.path:
        path = os.path.join(entry, "sitecustomize.py")
        if os.path.abspath(entry) != HERE and os.path.isfile(path):
            module: Any = type(sys)("sitecustomize")
            module.__file__ = path
            sys.modules["sitecustomize"] = module
            with open(path, "rb") as stream:
                exec(compile(stream.read(), path, "exec"), module.__dict__)  # noqa: S102 - the image's own
            return


if VARIABLE in os.environ:
    sys.meta_path.insert(0, Finder())
load_shadowed()
