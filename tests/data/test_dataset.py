import dataclasses
from typing import Any

import pytest
import torch

from bogp.data import Dataset
from bogp.errors import DataError


def build(**changes: Any) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    fields: dict[str, Any] = {
        "name": "made-up",
        "train_inputs": torch.rand(6, 2, 3, generator=generator),
        "train_targets": torch.tensor([0, 1, 2, 0, 1, 2]),
        "test_inputs": torch.rand(3, 2, 3, generator=generator),
        "test_targets": torch.tensor([0, 1, 2]),
        "classes": 3,
    }
    return Dataset(**(fields | changes))


def spoilt(value: float) -> torch.Tensor:
    inputs = torch.rand(6, 2, 3)
    inputs[3, 1, 1] = value
    return inputs


def test_features_are_the_values_of_one_input() -> None:
    assert build().features == 6


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_targets": torch.tensor([0, 1])}, "6 inputs but 2 targets"),
        ({"test_targets": torch.tensor([0, 1])}, "test set .* 3 inputs but 2 targets"),
        ({"train_inputs": torch.rand(6, 2, 3).double()}, "torch.float64 inputs"),
        ({"test_targets": torch.tensor([0.0, 1.0, 2.0])}, "torch.float32 targets"),
        ({"train_inputs": spoilt(float("nan"))}, "NaN or infinite"),
        ({"train_inputs": spoilt(float("inf"))}, "NaN or infinite"),
        ({"train_inputs": spoilt(float("-inf"))}, "NaN or infinite"),
        ({"train_targets": torch.tensor([0, 1, 2, 0, 1, 3])}, r"label 3, .*\[0, 3\)"),
        ({"test_targets": torch.tensor([0, -1, 2])}, "label -1"),
        ({"test_inputs": torch.rand(3, 3, 2)}, r"\(2, 3\) but test inputs of shape \(3, 2\)"),
        ({"train_inputs": torch.rand(6)}, r"must be \(N, ...\) and \(N,\)"),
        ({"train_targets": torch.zeros(6, 1, dtype=torch.int64)}, r"targets of shape \(6, 1\)"),
        (
            {"test_inputs": torch.rand(0, 2, 3), "test_targets": torch.zeros(0, dtype=torch.int64)},
            "empty",
        ),
        (
            {
                "train_targets": torch.zeros(6, dtype=torch.int64),
                "test_targets": torch.zeros(3, dtype=torch.int64),
                "classes": 1,
            },
            "at least 2",
        ),
    ],
)
def test_unsound_data_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        build(**changes)


def test_large_finite_inputs_are_accepted() -> None:
    build(train_inputs=torch.full((6, 2, 3), torch.finfo(torch.float32).max))


def test_fingerprint_is_of_the_content_and_not_of_the_name() -> None:
    assert build(name="other").fingerprint == build().fingerprint
    assert len(build().fingerprint) == 64


def test_fingerprint_changes_with_every_part_of_the_content() -> None:
    whole = build()
    bumped = whole.train_inputs.clone()
    bumped[5, 1, 2] += 0.25
    others = [
        build(train_inputs=bumped),
        build(train_inputs=whole.train_inputs.reshape(6, 6), test_inputs=torch.rand(3, 6)),
        build(test_inputs=whole.test_inputs.flip(0)),
        build(train_targets=whole.train_targets.flip(0)),
        build(test_targets=whole.test_targets.flip(0)),
        build(classes=4),
    ]
    assert len({data.fingerprint for data in [whole, *others]}) == 1 + len(others)


def test_fingerprint_does_not_depend_on_the_layout_in_memory() -> None:
    inputs = build().train_inputs
    strided = inputs.transpose(1, 2).contiguous().transpose(1, 2)
    assert not strided.is_contiguous()
    assert build(train_inputs=strided).fingerprint == build().fingerprint
