"""Addresses of other machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.errors import UsageError
from edgeexpo.remote.address import Address

WORD = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)


@given(WORD, st.none() | WORD, st.none() | st.integers(1, 65535))
def test_an_address_survives_its_text(host, user, port):
    address = Address(host, user, port)
    assert Address.parse(str(address)) == address


def test_a_path_of_a_python_follows():
    assert Address.parse("ssh://pi@cam/opt/py/bin/python3").python == "/opt/py/bin/python3"
    assert Address.parse("ssh://pi@cam:22/~/venv/bin/python").python == "~/venv/bin/python"
    assert Address.parse("ssh://cam/").python is None


def test_an_address_of_ip_version_6_stands_in_brackets():
    address = Address.parse("ssh://[fe80::1]:2222")
    assert (address.host, address.port) == ("fe80::1", 2222)
    assert str(address) == "ssh://[fe80::1]:2222"


@pytest.mark.parametrize(
    "text",
    [
        "camera",
        "http://camera",
        "ssh://",
        "ssh://-oProxyCommand=evil",
        "ssh://user@-oProxyCommand=evil",
        "ssh://camera:0",
        "ssh://camera:65536",
        "ssh://camera/bin/python;reboot",
        "ssh://camera/$(reboot)",
        "ssh://camera/a b",
        "ssh://camera\n",
    ],
)
def test_what_could_be_an_option_or_a_command_is_no_address(text):
    with pytest.raises(UsageError, match="expected ssh://"):
        Address.parse(text)


def test_a_password_has_no_place_in_an_address():
    with pytest.raises(UsageError, match="passwords have no place"):
        Address.parse("ssh://pi:secret@camera")
