"""Inputs against an output of any kind: what its manifest says of it need not be said again."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dbshuf.base.key import epoch_seed
from dbshuf.base.progress import Progress
from dbshuf.errors import ManifestInvalid, UsageError, VerifyFailed
from dbshuf.manifest.document import Manifest
from dbshuf.options import Options, check_options
from dbshuf.pipeline.verify.epochs import Epochs, epochs_in
from dbshuf.pipeline.verify.files import known_manifest, manifest_of
from dbshuf.pipeline.verify.result import RowsVerified
from dbshuf.pipeline.verify.rows import SHOWN_PLACES, verify_rows
from dbshuf.pipeline.verify.samples import CHOSEN, is_sampled

_SPLITS = ("split", "split_seed", "split_by", "stratify")
_ARRANGED = ("weight", "group", "within", "spread")


def verify_output(
    options: Options,
    output: str,
    reporter: Progress,
    *,
    manifest: str | None,
    order: bool | None,
    sample: float | None = None,
    show_rows: bool = False,
) -> RowsVerified:
    """Compare the rows of the inputs with those of an output: in each epoch, split and folder.

    options  those of the shuffle as far as they are told; where its rows went is taken from the
             manifest else, and with `order` its seed
    order    whether it is checked; None: where there is a seed
    Raises   VerifyFailed for epochs that lack; what `verify_rows` raises
    """
    check_options(replace(options, output=os.devnull))
    checks: dict[str, Any] = {"sample": sample, "show_rows": show_rows}
    epochs = epochs_in(output, options.epochs) if manifest is None or options.epochs else None
    if epochs is None:
        told = known_manifest(output, manifest)
        if order and options.seed is None and told is None:
            told = manifest_of(output, manifest)  # which says what there is not
        options = _as_told(options, told)
        return _verified(options, output, reporter, told, order=order, **checks)
    _check_complete(epochs, output)
    seed = options.seed
    if seed is None and order:
        seed = epochs.seed
        if seed is None:
            raise UsageError(f"no epoch of `{output}` has a manifest", hint="add --seed")
    first = next((one for one in epochs.manifests if one is not None), None)
    found = []
    for epoch, own in enumerate(epochs.manifests):
        alone = replace(
            options, epochs=None, seed=None if seed is None else epoch_seed(seed, epoch)
        )
        told = own or first
        alone = _as_told(alone, told)
        found.append(_verified(alone, epochs.name(epoch), reporter, told, order=order, **checks))
    return _merged(found)


def _verified(
    options: Options,
    output: str,
    reporter: Progress,
    told: Manifest | None,
    *,
    order: bool | None,
    **checks: Any,
) -> RowsVerified:
    """Compare inputs with one output, whose manifest `told` is."""
    checks_order = options.seed is not None if order is None else order
    chooses = "a mix" if options.mix else "a sample" if is_sampled(options) else None
    if (order or chooses) and options.seed is None:
        if told is None:
            raise UsageError(
                f"which rows are in {chooses} is drawn by its seed, and nobody says it",
                hint="add --seed, or --manifest FILE",
            )
        options = replace(options, seed=told.seed)
    if (order or is_sampled(options)) and told is not None:
        _check_arranged(options, told)
    return verify_rows(
        options,
        output,
        reporter,
        checks_order=checks_order,
        mix_told=None if told is None else told.mix,
        **checks,
    )


def _check_arranged(options: Options, told: Manifest) -> None:
    """Raise UsageError where the order of the manifest is another one than that of the options."""
    for name in _ARRANGED:
        if name in told.options and getattr(options, name) is None:
            raise UsageError(
                f"the manifest says that the rows were ordered by --{name} {told.options[name]}",
                hint="add it, too",
            )


def _as_told(options: Options, told: Manifest | None) -> Options:
    """Return options with what a manifest says of the places of rows, where nobody said it."""
    if told is None:
        return options
    found: dict[str, Any] = {}
    given = told.options
    if not is_sampled(options):
        found = {name: given[name] for name in CHOSEN if name in given}
        if found and "stratify" in given:
            found["stratify"] = given["stratify"]
    if options.split is None and "split" in given:
        found |= {name: given[name] for name in _SPLITS if name in given}
        if "split_by" not in given and "stratify" not in given and "group" in given:
            found["split_by"] = given["group"]
    if not options.partition_by and "partition_by" in given:
        found["partition_by"] = tuple(given["partition_by"])
    if options.number is None and "number" in given:
        found["number"] = given["number"]
    if options.epochs is None and told.epoch_seeds is not None:
        found["epochs"] = len(told.epoch_seeds)
    try:
        return replace(options, **found)
    except TypeError as error:
        raise ManifestInvalid(f"the manifest of the output is none: {error}") from error


def _check_complete(epochs: Epochs, output: str) -> None:
    """Raise VerifyFailed where epochs lack, or there is more than them."""
    names = epochs.folder.names()
    lacking = [one for one in epochs.folders if not any(n.startswith(f"{one}/") for n in names)]
    if lacking:
        raise VerifyFailed(
            f"of {len(epochs.folders):,} epochs of `{output}`, {len(lacking):,}"
            f" {'is' if len(lacking) == 1 else 'are'} missing: `{lacking[0]}` is one",
            hint="fetch the files again, or run the shuffle again",
        )
    if epochs.others:
        raise VerifyFailed(
            f"`{output}` has {len(epochs.others):,} files of no epoch, as `{epochs.others[0]}`",
            hint="take away what is none of them",
        )


def _merged(found: Sequence[RowsVerified]) -> RowsVerified:
    """Return what was found of several epochs as one."""
    orders, places = [one.order for one in found], [one.places for one in found]
    missing, added = [one.missing for one in found], [one.added for one in found]
    return replace(
        found[0],
        rows_in=sum(one.rows_in for one in found),
        rows_out=sum(one.rows_out for one in found),
        missing=None if None in missing else sum(one or 0 for one in missing),
        added=None if None in added else sum(one or 0 for one in added),
        first_missing=tuple(p for one in found for p in one.first_missing)[:SHOWN_PLACES],
        first_added=tuple(p for one in found for p in one.first_added)[:SHOWN_PLACES],
        sum_in=_summed(one.sum_in for one in found),
        sum_out=_summed(one.sum_out for one in found),
        order=next((one for one in orders if one not in (None, "same")), orders[0]),
        places=next((one for one in places if one not in (None, "same")), places[0]),
        text_bytes=sum(one.text_bytes for one in found),
        elapsed_s=sum(one.elapsed_s for one in found),
        peak_rss_bytes=max(one.peak_rss_bytes for one in found),
    )


def _summed(sums: Any) -> str:
    """Return the sum of checksums, as `Totals.checksum` has it."""
    words = [(int(one[:16], 16), int(one[16:], 16)) for one in sums]
    high, low = (sum(lane) % 2**64 for lane in zip(*words, strict=True))
    return f"{high:016x}{low:016x}"
