"""The benchmarks: a few declarative lines each. Adding one is adding an entry here."""

from dataclasses import dataclass

from lib.data.benchmarks.layout import FOLDER_LAYOUTS


@dataclass(frozen=True)
class Benchmark:
    """folders: alternatives below the data root, the first that exists is read. source: what it is, where to get it."""

    folders: tuple
    source: str
    layouts: tuple = FOLDER_LAYOUTS


BENCHMARKS = {
    # The published archive does not document its layout, so any that a user's folder may have will do.
    "lunar": Benchmark(
        folders=("lunar/test", "lunar"),
        source="the 700 night videos of Lunar Tracking; download links are at github.com/kk123321x/LunarTracking",
    ),
}
