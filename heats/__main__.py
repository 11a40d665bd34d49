"""Entry point of the program, which imports nothing before it can tell Ctrl-C in one line: imports take a second."""

import os
import sys


def main() -> None:
    """Run the command line; see `heats.cli.main`."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # else the import fails where git is missing
    try:
        from heats.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("heats: stopped by SIGINT\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
