"""Program entry point. Imports are slow, so nothing is imported before Ctrl-C can be reported in one line."""

import gc
import os
import sys

from heats.packages import replaced


def main() -> None:
    """Run the command line; see `heats.cli.main`."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # otherwise the import fails if git is missing
    told = replaced()
    if told is not None:
        sys.stderr.write(f"heats: {told}\n")
        sys.exit(6)
    try:
        # Imports create no garbage, yet repeated collections would take a fifth of the start-up time.
        gc.disable()
        from heats.cli import main as run

        gc.freeze()
        gc.enable()
        run()
    except KeyboardInterrupt:
        sys.stderr.write("heats: stopped by SIGINT\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
