"""Found through PYTHONPATH by every Python process of the test command; starts the recorder there."""

import os

if os.environ.get("REPAIR_OUT"):
    import repair_record  # type: ignore[import-not-found]

    repair_record.start_in_child()
