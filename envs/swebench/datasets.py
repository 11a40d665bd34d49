"""What is known of published data sets by their names: short names, splits, and images that rows do not name.

What rows themselves tell is in `shapes.py`.
"""

from dataclasses import dataclass

ALIASES = {
    "full": "SWE-bench/SWE-bench",
    "verified": "SWE-bench/SWE-bench_Verified",
    "lite": "SWE-bench/SWE-bench_Lite",
    "multimodal": "SWE-bench/SWE-bench_Multimodal",
    "multilingual": "SWE-bench/SWE-bench_Multilingual",
    "smith": "SWE-bench/SWE-smith",
    "live": "SWE-bench-Live/SWE-bench-Live",
    "live-multi": "SWE-bench-Live/MultiLang",
    "pro": "ScaleAI/SWE-bench_Pro",
    "rebench": "nebius/SWE-rebench",
    "rebench-v2": "nebius/SWE-rebench-V2",
    "gym": "SWE-Gym/SWE-Gym",
    "r2e": "R2E-Gym/R2E-Gym-Subset",
    "multi": "ByteDance-Seed/Multi-SWE-bench",
    "poly": "AmazonScience/SWE-PolyBench",
    "poly-verified": "AmazonScience/SWE-PolyBench_Verified",
}
"""Short names of data sets on the Hub."""

EVERY = "*"
"""The split of a data set whose files are not named after splits: all of its files."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the name of a data set tells.

    Attributes:
        split: the split to read if none is given.
        images: template of the images, for rows that name none; see `rows.image_name`.
    """

    split: str = "test"
    images: str = ""


_KNOWN = {
    "SWE-bench/SWE-smith": Known(split="train"),
    "SWE-bench-Live/SWE-bench-Live": Known(split="verified"),
    "SWE-bench-Live/MultiLang": Known(split=EVERY),
    "nebius/SWE-rebench-V2": Known(split="train"),
    "SWE-Gym/SWE-Gym": Known(split="train", images="xingyaoww/sweb.eval.x86_64.{instance_id_s}:latest"),
    "R2E-Gym/R2E-Gym-Subset": Known(split="train"),
    "ByteDance-Seed/Multi-SWE-bench": Known(split=EVERY),
}


def known(source: str) -> Known:
    """What is known of a source, by its short or its full name; the defaults if that is nothing."""
    return _KNOWN.get(ALIASES.get(source, source), Known())
