"""Names in tables, and the lines that misspelt ones get."""

import pytest

from cnn_jax.registry import check_choice, look_up, nearest, suggestion
from cnn_jax.runtime.errors import BadInputError

TABLE = {"vgg16": 16, "vgg19": 19, "alexnet": 8}


def test_the_nearest_names_come_first_and_no_more_than_asked_for():
    assert nearest("vgg16_bn", ["alexnet", "vgg16", "vgg11"], count=3) == ["vgg16", "vgg11"]
    assert nearest("vgg16_bn", ["alexnet", "vgg16", "vgg11"]) == ["vgg16"]
    assert nearest("transformer", TABLE) == []


def test_the_order_of_the_known_names_decides_nothing():
    assert nearest("vgg1", ["vgg13", "vgg11"], 2) == nearest("vgg1", ["vgg11", "vgg13"], 2)


def test_all_are_suggested_in_their_order_where_none_is_near():
    assert suggestion("transformer", iter(TABLE)) == "vgg16, vgg19, alexnet"
    assert suggestion("alexnt", iter(TABLE)) == "alexnet"


def test_a_name_is_looked_up():
    assert look_up(TABLE, "vgg19", "unknown model") == 19


def test_an_unknown_name_gets_one_line_with_the_nearest():
    with pytest.raises(BadInputError, match=r"^unknown model 'vgg'; did you mean vgg19, vgg16\?$"):
        look_up(TABLE, "vgg", "unknown model", count=2)


def test_an_unknown_name_near_none_gets_all_sorted():
    line = r"^unknown model 'transformer'; did you mean alexnet, vgg16, vgg19\?$"
    with pytest.raises(BadInputError, match=line):
        look_up(TABLE, "transformer", "unknown model", count=3)


def test_a_choice_that_there_is_passes_and_another_gets_a_line():
    check_choice("optim.name", "adam", iter(["sgd", "adam"]))
    with pytest.raises(BadInputError, match=r"^optim\.name is 'adan'; there is adam$"):
        check_choice("optim.name", "adan", iter(["sgd", "adam"]))
    with pytest.raises(BadInputError, match=r"^optim\.name is 'x'; there is sgd, adam$"):
        check_choice("optim.name", "x", iter(["sgd", "adam"]))
