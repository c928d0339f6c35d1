"""Streams in the hands of those who train: two processes, PyTorch's loaders, Hugging Face."""

import importlib
import json
import os
import pickle
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
import reference

from dbshuf.errors import ExtraMissing

LINES = b"".join(b"%d words\n" % i for i in range(5_003))
WANT = reference.shuffled([LINES], "42").decode().split("\n")[:-1]
OPTIONS = {"seed": "42", "memory": "2GB", "batch_rows": 100}

# A process of its own for each rank, as torchrun and others start them, told by the environment.
# The first run stops half-way and leaves its state; the second goes on from there.
TRAIN = """
import json, os, pathlib, dbshuf
rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
state = pathlib.Path("state.json")
with dbshuf.stream(
    "in.txt", seed=42, rank=rank, world_size=world_size, batch_rows=100, memory="3GB"
) as batches:
    if state.exists():
        batches.load_state_dict(json.loads(state.read_text()))
    with open(f"seen-{rank}.txt", "a") as seen:
        for step, batch in enumerate(batches):
            seen.writelines(f"{line}\\n" for line in batch["line"].to_pylist())
            if step == 9 and not state.exists():
                break
    if rank == 0 and not state.exists():
        pathlib.Path("kept.json").write_text(json.dumps(batches.state_dict()))
"""


@pytest.fixture
def path(home, monkeypatch):
    """A file of lines; it is also where the test runs."""
    monkeypatch.chdir(home)
    (home / "in.txt").write_bytes(LINES)
    return home / "in.txt"


def train(home, world_size):
    """Run all ranks side by side."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN],
            cwd=home,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(world_size)},
        )
        for rank in range(world_size)
    ]
    assert [rank.wait(60) for rank in ranks] == [0] * world_size


def test_two_processes_train_on_each_row_once_and_three_go_on(path, home):
    """What the README shows: no process knows of the other."""
    train(home, 2)
    seen = [(home / f"seen-{rank}.txt").read_text().splitlines() for rank in range(2)]
    assert [len(lines) for lines in seen] == [1000, 1000]
    assert sorted(seen[0] + seen[1]) == sorted(WANT[:2000])
    (home / "kept.json").rename(home / "state.json")
    train(home, 3)
    lines = [line for file in home.glob("seen-*.txt") for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(WANT)


def test_datasets_takes_a_stream_as_a_generator(path, home, monkeypatch):
    """Hugging Face's IterableDataset, with the rows of one rank."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")  # without a HOME

    def rows(rank):
        import dbshuf  # datasets hashes what a generator refers to, a module of a checkout whole

        for batch in dbshuf.stream(path, rank=rank, world_size=2, temp_dir=home, **OPTIONS):
            yield from batch.to_pylist()

    got = []
    for rank in range(2):
        rank_rows = datasets.IterableDataset.from_generator(rows, gen_kwargs={"rank": rank})
        got.append([row["line"] for row in rank_rows])
    assert sorted(got[0] + got[1]) == sorted(WANT)
    assert got[1][:100] == WANT[100:200]
    whole = datasets.IterableDataset.from_generator(rows, gen_kwargs={"rank": 0})
    assert next(iter(whole.skip(150)))["line"] == got[0][150]


@pytest.fixture
def torchless(monkeypatch):
    """Return what imports dbshuf.torch anew, with a stand-in for torch, or without any."""

    def imported(worker=None, group=None):
        monkeypatch.delitem(sys.modules, "dbshuf.torch", raising=False)
        names = ("torch", "torch.distributed", "torch.utils", "torch.utils.data")
        modules = {name: ModuleType(name) for name in names}
        modules["torch"].distributed = SimpleNamespace(
            is_available=lambda: True,
            is_initialized=lambda: group is not None,
            get_rank=lambda: group[0],
            get_world_size=lambda: group[1],
        )
        data = modules["torch.utils.data"]
        data.IterableDataset = object
        data.get_worker_info = lambda: (
            worker and SimpleNamespace(id=worker[0], num_workers=worker[1])
        )
        for name in names:
            monkeypatch.setitem(sys.modules, name, modules[name])
        return importlib.import_module("dbshuf.torch").ShuffledDataset

    yield imported
    sys.modules.pop("dbshuf.torch", None)


def test_workers_of_a_loader_are_ranks_and_each_keeps_its_place(torchless, path, home):
    """Two ranks of two workers: four shares, and each goes on from its own state."""
    shares = []
    for rank, worker in ((0, 0), (0, 1), (1, 0), (1, 1)):
        dataset = torchless((worker, 2), (rank, 2))(path, temp_dir=home, **OPTIONS)
        share = iter(dataset)
        lines = [line for _ in range(2 + worker) for line in next(share)["line"]]
        state = json.loads(json.dumps(dataset.state_dict()))
        share.close()
        again = torchless((worker, 2), (rank, 2))(path, temp_dir=home, **OPTIONS)
        again.load_state_dict(state)
        assert again.state_dict() == state
        lines += [line for batch in again for line in batch["line"]]
        assert lines[:100] == WANT[100 * len(shares) :][:100]
        shares.append(lines)
        assert [line for batch in again for line in batch["line"]] == lines  # the next pass
    assert sorted(line for lines in shares for line in lines) == sorted(WANT)


def test_set_epoch_gives_the_next_pass_another_order(torchless, path, home):
    """As samplers of PyTorch have it."""
    dataset = torchless()(path, temp_dir=home, **OPTIONS)
    dataset.set_epoch(1)
    lines = [line for batch in dataset for line in batch["line"]]
    assert lines == reference.shuffled([LINES], "42/epoch-1").decode().split("\n")[:-1]


def test_without_torch_the_dataset_says_what_to_install(monkeypatch):
    """And nothing else needs it."""
    monkeypatch.delitem(sys.modules, "dbshuf.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ExtraMissing, match="needs torch") as raised:
        importlib.import_module("dbshuf.torch")
    assert raised.value.hint == "pip install torch"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_the_loaders_of_torch_and_torchdata_give_each_row_once_and_go_on(workers, path, home):
    """With the real ones, where they are installed."""
    loaders = pytest.importorskip("torchdata.stateful_dataloader")
    from dbshuf.torch import ShuffledDataset

    def loader():
        dataset = pickle.loads(pickle.dumps(ShuffledDataset(path, temp_dir=home, **OPTIONS)))
        return loaders.StatefulDataLoader(dataset, batch_size=None, num_workers=workers)

    first = loader()
    begun = iter(first)
    lines = [line for _ in range(7) for line in next(begun)["line"]]
    second = loader()
    second.load_state_dict(first.state_dict())
    del begun
    lines += [line for batch in second for line in batch["line"]]
    assert sorted(lines) == sorted(WANT)
