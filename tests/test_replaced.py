"""Tests of the replacement of attributes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgeexpo.replaced import replaced


class Greeting:
    def say(self):
        return "hello"


def test_a_method_is_another_one_inside_the_block_only():
    with replaced(Greeting, "say", lambda self: "goodbye"):
        assert Greeting().say() == "goodbye"
    assert Greeting().say() == "hello"


def test_the_attribute_comes_back_after_an_error():
    owner = SimpleNamespace(value=1)
    with pytest.raises(KeyError), replaced(owner, "value", 2):
        raise KeyError(owner.value)
    assert owner.value == 1
