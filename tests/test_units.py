"""Sizes as people write them."""

import pytest

from dbshuf.errors import UsageError
from dbshuf.units import human, parse_bytes

pytestmark = pytest.mark.any_version


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GB", 10**9),
        ("1G", 10**9),
        ("1GiB", 2**30),
        ("512MiB", 512 * 2**20),
        ("1.5 gb", 1_500_000_000),
        ("300", 300),
        ("300b", 300),
        (77, 77),
    ],
)
def test_si_and_iec_units_are_told_apart(text, size):
    """1GB is what a disk label means by it, 1GiB is what the kernel counts in."""
    assert parse_bytes(text) == size


NO_SIZES = ["", "GB", "1XB", "-1GB", "1e9", "0", "1 G B", "one", "١GB", 0, -5]
TOO_MUCH = ["1048577TiB", "99999999999999999999", 2**60 + 1]  # for the 64 bits of an engine
TOO_LONG = ["9" * 400, "9" * 400 + ".5", "9" * 5000]  # for a float, or for an int of Python


@pytest.mark.parametrize("text", [*NO_SIZES, *TOO_MUCH, *TOO_LONG], ids=lambda text: str(text)[:9])
def test_a_size_that_is_none_is_an_error_that_quotes_it(text):
    """A typing error must not become a default."""
    with pytest.raises(UsageError) as error:
        parse_bytes(text, "--memory")
    assert str(text)[:100] in error.value.message  # the middle of a long one is left out
    assert "--memory" in error.value.message


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_420_000_000, "1.42 GB"), (512 * 10**6, "512 MB")],
)
def test_sizes_are_shown_in_three_digits(size, text):
    """The unit is the one that the options take."""
    assert human(size) == text
