"""--epochs: several orders of the same rows in one run, each of a seed of its own."""

from dataclasses import dataclass
from typing import Any

from dbshuf.base.key import epoch_seed
from dbshuf.errors import UsageError
from dbshuf.options import Options
from dbshuf.plan.reading import ReadPlan
from dbshuf.sink.shard_names import epoch_folder
from dbshuf.source.input import closed_pipe

_SHOWN_SEEDS = 4


@dataclass(frozen=True)
class Epochs:
    """Several orders of the rows of one plan.

    count       of them, from 0 on
    seed        of epoch 0; the others are of `base.key.epoch_seed`
    in_folders  whether each is a folder of shards; else they follow each other in the output
    options     of the run, from which SQL and splits are made anew
    """

    count: int
    seed: str
    in_folders: bool
    options: Options

    @property
    def seeds(self) -> list[str]:
        return [epoch_seed(self.seed, epoch) for epoch in range(self.count)]

    def describe(self) -> str:
        seeds = [epoch_seed(self.seed, epoch) for epoch in range(min(self.count, _SHOWN_SEEDS))]
        more = f" and {self.count - _SHOWN_SEEDS:,} more" if self.count > _SHOWN_SEEDS else ""
        where = "one after the other in the output"
        if self.in_folders:
            where = f"each in a folder, {epoch_folder(0, self.count)} first"
        plural = "s" * (self.count > 1)
        return f"{self.count:,}, {where}; seed{plural} {', '.join(seeds)}{more}"

    def to_json(self) -> list[dict[str, Any]]:
        """Return it for programs: the seed of each, and its folder."""
        return [
            {"seed": seed, "folder": epoch_folder(epoch, self.count) if self.in_folders else None}
            for epoch, seed in enumerate(self.seeds)
        ]


def check_epochs(options: Options) -> None:
    """Raise UsageError for what cannot be done in several orders, whatever the inputs are."""
    if options.epochs is None:
        return
    seed = "SEED" if options.seed is None else options.seed
    alone = f"run each alone: epoch 1 is the order of --seed {epoch_seed(seed, 1)}"
    if options.work_dir is not None:
        raise UsageError(
            "--work-dir keeps one order to go on with, and --epochs writes several", hint=alone
        )
    is_piped = not options.inputs and options.store is None and not options.mix
    is_piped |= "-" in options.inputs
    if options.epochs > 1 and is_piped:
        raise _read_once("standard input")


def epochs_of(options: Options, read: ReadPlan, seed: str, *, in_folders: bool) -> Epochs | None:
    """Return the orders that a run writes; None: the one of its seed. Raises UsageError."""
    if options.epochs is None:
        return None
    pipe = closed_pipe(read.inputs) if options.epochs > 1 else None
    if pipe is not None:
        raise _read_once(f"`{pipe.name}`")
    return Epochs(options.epochs, seed, in_folders, options)


def _read_once(name: str) -> UsageError:
    return UsageError(
        f"--epochs reads all inputs once for each, and {name} can be read only once",
        hint="write it into a file first, or leave out --epochs",
    )
