"""A method with what options say otherwise than its name, and methods in words."""

from dataclasses import replace

import pytest

from bogp.errors import BogpError, SettingError, UnknownNameError
from bogp.masks import Granularity
from bogp.sparsify import METHODS, Method, Moves, about_method, chosen_method, method_words
from bogp.sparsify.choice import ABOUT


def test_what_is_not_said_stays_the_methods_own():
    for name, method in METHODS.items():
        if method is not None:
            assert chosen_method(name) == method
    own = Method(
        "magnitude", moves=Moves(every=7), granularity=Granularity("block", 8, shared=True)
    )
    assert chosen_method(own, block=16).granularity == Granularity("block", 16, shared=True)
    assert chosen_method(own, end=0.5).moves == Moves(every=7, end=0.5)
    assert chosen_method(own, granularity="weight").granularity == Granularity()


def test_times_are_numbers_or_their_texts():
    found = chosen_method("rigl", begin="0.1", end="90", every=5)
    assert found.moves == replace(METHODS["rigl"].moves, begin=0.1, end=90, every=5)
    assert isinstance(found.moves.end, int)
    assert isinstance(chosen_method("set", end="1.0").moves.end, float)


def test_block_alone_means_blocks():
    assert chosen_method("snip", block=4).granularity == Granularity("block", 4)
    assert chosen_method("snip", granularity="block").granularity == Granularity("block")
    whole = Granularity("block", equal_rows=True)
    assert chosen_method("snip", granularity=whole, block=4).granularity == replace(whole, block=4)


@pytest.mark.parametrize(
    ("method", "changes", "kind", "sentence"),
    [
        ("snip", {"every": 5}, SettingError, "every = 5: the mask of this method does not move"),
        ("imp", {"end": "0.5"}, SettingError, "take gradual, set or rigl"),
        ("gradual", {"begin": "soon"}, SettingError, "begin = 'soon' is no time"),
        ("gradual", {"end": "1.5"}, SettingError, "end = 1.5 of moves"),
        ("gradual", {"granularity": "row"}, UnknownNameError, "unknown granularity 'row'"),
        ("gradual", {"granularity": "channel", "block": 8}, SettingError, "block = 8 is of blocks"),
        (
            "rigl",
            {"granularity": "channel"},
            SettingError,
            "channels that left .* do not come back",
        ),
        ("erk", {"granularity": "channel"}, SettingError, "scope 'erk' is none of channels"),
        ("dense", {}, UnknownNameError, "unknown method 'dense'"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(method, changes, kind, sentence):
    with pytest.raises(kind, match=sentence) as caught:
        chosen_method(method, **changes)
    assert isinstance(caught.value, BogpError)
    assert len(str(caught.value).splitlines()) == 1


def test_every_method_says_what_it_does_whether_it_moves_and_how_often_it_trains():
    assert list(ABOUT) == list(METHODS)
    for name, method in METHODS.items():
        words = about_method(name)
        trainings = 1 if method is None else method.trainings
        assert f"{trainings} training" in words
        assert ("a mask that moves" in words) == (method is not None and method.moves is not None)


def test_methods_that_differ_differ_in_words():
    made = [
        chosen_method("gradual"),
        chosen_method("gradual", every=5),
        chosen_method("gradual", end=90),
        chosen_method("gradual", block=8),
        chosen_method("gradual", granularity=Granularity("block", 8, shared=True)),
        chosen_method("gradual", granularity="channel"),
        *(METHODS[name] for name in ("glob1", "glob5", "imp", "iterative", "set", "rigl", "snip")),
    ]
    words = [method_words(method) for method in made]
    assert len(set(words)) == len(made)
    assert words[6] == "magnitude global"
