"""The memory that a compressed input will take is known before it is read."""

import lzma

import pytest

from dbshuf.source.compression.codecs import HEAD_BYTES, window_bytes
from dbshuf.units import MIB


@pytest.mark.parametrize("power", [16, 20, 23, 26])
def test_an_xz_file_states_its_dictionary(power):
    """`xz -9` asks for 64 MiB a reader, which a small cap must know."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << power}]
    head = lzma.compress(b"x" * 100, filters=filters)[:HEAD_BYTES]
    assert window_bytes("xz", head) == (1 << power) + 2 * MIB


@pytest.mark.parametrize(
    ("descriptor", "size"), [(0xA8, 1 << 31), (0x88, 1 << 27), (0x58, 1 << 21), (0x5C, 3 << 20)]
)
def test_a_zstd_frame_states_its_window(descriptor, size):
    """`zstd --long` asks for 128 MiB a reader, `--long=31` for 2 GiB."""
    head = b"\x28\xb5\x2f\xfd\x00" + bytes([descriptor]) + bytes(58)
    assert window_bytes("zstd", head) == size + 2 * MIB


def test_a_small_zstd_frame_in_one_segment_takes_its_own_size():
    """The window is then the content, whose size the header gives."""
    head = b"\x28\xb5\x2f\xfd" + bytes([0x60]) + (5000 - 256).to_bytes(2, "little") + bytes(57)
    assert window_bytes("zstd", head) == 5000 + 2 * MIB


def test_a_header_that_cannot_be_read_is_taken_as_large():
    """Too much reserved is slower; too little breaks the promise."""
    assert window_bytes("xz", b"short") == 66 * MIB
    far = b"\x50\x2a\x4d\x18\xff\0\0\0" + bytes(56)
    assert window_bytes("zstd", b"") == window_bytes("zstd", far) == 130 * MIB


def test_a_zstd_frame_behind_skippable_ones_states_its_window():
    """As pzstd begins every file: 64 MiB were counted where 128 were taken."""
    skipped = b"\x50\x2a\x4d\x18\4\0\0\0abcd" + b"\x5f\x2a\x4d\x18\0\0\0\0"
    head = skipped + b"\x28\xb5\x2f\xfd\x00\x88" + bytes(38)
    assert window_bytes("zstd", head) == (1 << 27) + 2 * MIB


def test_an_empty_zstd_file_takes_little():
    """Such as `zstd` makes of nothing; there may be many beside others."""
    assert window_bytes("zstd", bytes.fromhex("28b52ffd2400010000 99e9d851")) < 3 * MIB
