"""What every benchmark does with the words after its name."""

import sys


def words(doc: str) -> list[str]:
    """The words. --help prints what the benchmark says of itself, and ends."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(doc.strip())
        sys.exit()
    return sys.argv[1:]
