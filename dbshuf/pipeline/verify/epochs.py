"""An output of --epochs with a folder for each: which there are, and the seeds that they have."""

import re
from dataclasses import dataclass

from dbshuf.base.key import epoch_seed
from dbshuf.manifest.document import Manifest
from dbshuf.manifest.names import MANIFEST_NAME
from dbshuf.pipeline.verify.folders import Folder, folder_of, read_whole
from dbshuf.sink.shard_names import epoch_folder

_FOLDER = re.compile(r"(epoch-\d+)/")


@dataclass(frozen=True)
class Epochs:
    """A folder of epochs.

    folders    of all epochs that there should be, in their order
    manifests  of each; None: it has none
    others     files that lie in none of these folders, but hidden ones
    """

    folder: Folder
    folders: tuple[str, ...]
    manifests: tuple[Manifest | None, ...]
    others: tuple[str, ...]

    @property
    def seed(self) -> str | None:
        """The seed of the run; None: no manifest says it."""
        given = [one.options.get("seed") for one in self.manifests if one is not None]
        if given and given[0] is not None:
            return str(given[0])
        first = self.manifests[0] if self.manifests else None
        if first is not None:
            return first.seed
        ends = [
            one.seed.removesuffix(epoch_seed("", epoch))
            for epoch, one in enumerate(self.manifests)
            if one is not None
        ]
        return next(iter(ends), None)

    @property
    def misplaced(self) -> list[tuple[str, str, str]]:
        """Folders whose manifests are of another seed than theirs: folder, that seed, theirs."""
        seed = self.seed
        return [
            (folder, one.seed, epoch_seed(seed, epoch))
            for epoch, (folder, one) in enumerate(zip(self.folders, self.manifests, strict=True))
            if seed is not None and one is not None and one.seed != epoch_seed(seed, epoch)
        ]

    def name(self, epoch: int) -> str:
        """Return the name of the folder of an epoch, as an output."""
        return self.folder.within(self.folders[epoch]).shown()


def epochs_in(output: str, asked: int | None = None) -> Epochs | None:
    """Return the epochs of a directory or prefix that has no list of its own; None: it has none.

    asked   how many there are, if that was said
    Raises  ManifestInvalid, InputUnreadable; what a store raises
    """
    folder = folder_of(output)
    if folder is None or folder.has(MANIFEST_NAME):
        return None
    names = folder.names()
    found = sorted({match[1] for name in names if (match := _FOLDER.match(name))})
    manifests = {name: _manifest_in(folder.within(name)) for name in found}
    said = [one.options.get("epochs") for one in manifests.values() if one is not None]
    counts = [count for count in (asked, *said) if isinstance(count, int)]
    if not found or not counts:
        return None
    folders = tuple(epoch_folder(epoch, counts[0]) for epoch in range(counts[0]))
    others = [name for name in names if not name.startswith(tuple(f"{one}/" for one in folders))]
    return Epochs(folder, folders, tuple(manifests.get(one) for one in folders), tuple(others))


def _manifest_in(folder: Folder) -> Manifest | None:
    if not folder.has(MANIFEST_NAME):
        return None
    return Manifest.parse(read_whole(folder, MANIFEST_NAME), folder.shown(MANIFEST_NAME))
