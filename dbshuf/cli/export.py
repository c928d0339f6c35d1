"""`dbshuf export`: what `dbshuf shuffle` does, from a store."""

from dbshuf.cli.options import ExportArguments
from dbshuf.cli.shuffle import shuffled


def export(given: ExportArguments) -> None:
    """Write every row of STORE once, in a uniformly random order: as shuffle of its inputs."""
    shuffled(given)
