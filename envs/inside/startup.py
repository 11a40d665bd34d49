"""Written to the sandbox as `sitecustomize.py`, which every Python process of the test command loads through PYTHONPATH.

It waits for pytest or unittest to be imported and hands either to the recorder; any other process is left alone.
Python 3.6 or later, standard library only: this runs in the user's image, not in ours.
"""

import os
import sys

RECORDER = "heats_recorder"
VARIABLE = "HEATS_RESULTS"
"""Both are replaced by random names when the file is written."""

HERE = os.path.dirname(os.path.abspath(__file__))


class Finder:
    """Finds the modules that runners consist of as usual, and shows each to the recorder once it has been executed."""

    waiting = {"_pytest.config": "watch_pytest", "unittest.runner": "watch_unittest"}

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """See `importlib.abc.MetaPathFinder.find_spec`."""
        watch = self.waiting.pop(name, None)
        if watch is None:
            return None
        for finder in sys.meta_path:
            found = finder.find_spec(name, path, target) if finder is not self else None
            if found is not None:
                show(found.loader, watch)
                return found
        return None


def show(loader, watch):  # type: ignore[no-untyped-def]
    """Have the loader call the recorder's function of that name with the module it has executed."""
    execute = loader.exec_module

    def exec_module(module):  # type: ignore[no-untyped-def]
        execute(module)
        getattr(__import__(RECORDER), watch)(module)

    try:
        loader.exec_module = exec_module
    except AttributeError:  # a loader whose attributes are fixed: this runner goes unrecorded
        pass


def load_shadowed():  # type: ignore[no-untyped-def]
    """Execute the `sitecustomize.py` that would have been found without ours."""
    for entry in sys.path:
        path = os.path.join(entry, "sitecustomize.py")
        if os.path.abspath(entry) != HERE and os.path.isfile(path):
            module = type(sys)("sitecustomize")
            module.__file__ = path
            sys.modules["sitecustomize"] = module
            with open(path, "rb") as stream:
                exec(compile(stream.read(), path, "exec"), module.__dict__)  # noqa: S102 - the image's own
            return


if VARIABLE in os.environ:
    sys.meta_path.insert(0, Finder())
load_shadowed()
