"""Names of what lies elsewhere, as messages show them."""

from dbshuf.base import remote_names
from dbshuf.remote import names


def test_no_part_of_a_password_is_shown():
    """Not behind an `@` that it holds either; one in a path stays."""
    for shown in (remote_names.shown_url, names.shown):
        assert shown("https://u:p@ss@host/a@b?k=1") == "https://host/a@b"
        assert shown("https://host/a@b") == "https://host/a@b"
