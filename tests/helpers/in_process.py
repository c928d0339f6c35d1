"""Runs of `dbshuf.shuffle` in the process of the test, and what all orders are tried with."""

import dbshuf

ENGINES = (
    {"strategy": "memory"},
    {"strategy": "partition", "threads": 1, "memory": "3GB"},
    {"strategy": "spill"},
    {"engine": "sqlite"},
)
# 30 groups of unequal sizes: group g has one line in every 2^-(g % 5) or so.
GROUPED_LINES = b"".join(b"%d g%d\n" % (i, (i * i) % 31) for i in range(6000))


def shuffler(folder, data, **usual):
    """Return what shuffles a.txt of a folder with seed 42, and returns the lines of its file."""
    (folder / "a.txt").write_bytes(data)

    def shuffled(output="out.txt", inputs=("a.txt",), **options):
        told = {"seed": "42", "memory": "2GB", "threads": 2, **usual, **options}
        dbshuf.shuffle([folder / name for name in inputs], folder / output, **told)
        return (folder / output).read_bytes().splitlines(keepends=True) if "." in output else None

    return shuffled
