import json
import pickle

import pytest

from bogp.errors import SettingError, UnknownNameError
from bogp.masks import Granularity


def test_records_of_different_granularities_differ():
    values = [
        Granularity(),
        Granularity("channel"),
        Granularity("block"),
        Granularity("block", block=16),
        Granularity("block", shared=True),
        Granularity("block", equal_rows=True),
    ]
    texts = [json.dumps(value.record()) for value in values]
    assert len(set(texts)) == len(values)
    assert [Granularity(**json.loads(text)) for text in texts] == values
    assert pickle.loads(pickle.dumps(values)) == values


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "block", "block": 0}, "block = 0 .*: give 1 or more channels"),
        ({"kind": "block", "block": True}, "block = True"),
        ({"kind": "block", "block": 2.0}, "block = 2.0"),
        ({"kind": "block", "shared": 1}, "shared = 1 .*: give True or False"),
        ({"kind": "channel", "block": 16}, "block = 16 is of blocks"),
        ({"kind": "block", "multiple": 8}, "multiple = 8 is of channels"),
        ({"kind": "channel", "multiple": 0}, "multiple = 0 of a granularity: give 1 or more"),
        ({"shared": True}, "shared = True is of blocks, and the granularity is 'weight'"),
        ({"kind": "block", "shared": True, "equal_rows": True}, "take one of the two"),
    ],
)
def test_what_cannot_be_is_refused(fields, sentence):
    with pytest.raises(SettingError, match=sentence):
        Granularity(**fields)


def test_an_unknown_kind_is_refused_with_the_near_one():
    with pytest.raises(UnknownNameError, match="did you mean block"):
        Granularity("blocks")
