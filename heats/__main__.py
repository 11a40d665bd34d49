"""Entry point of the program, which imports nothing before it can tell Ctrl-C in one line: imports are slow."""

import gc
import os
import sys

from heats.packages import replaced


def main() -> None:
    """Run the command line; see `heats.cli.main`."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # else the import fails where git is missing
    told = replaced()
    if told is not None:
        sys.stderr.write(f"heats: {told}\n")
        sys.exit(6)
    try:
        # What imports make is no garbage: to look for some among it, again and again, is a fifth of its start.
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
