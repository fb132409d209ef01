from typing import Any

import pytest
import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import TensorDataset

from bogp.data import from_datasets, split
from bogp.errors import DataError


class Items(TorchDataset[Any]):
    """A dataset whose items have to be asked for one by one."""

    def __init__(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Any:
        target = self.targets[index]
        return self.inputs[index], int(target) if target.dim() == 0 else target


def pair(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 2, 3, generator=generator), torch.arange(count) % 3


def test_pairs_tensor_datasets_and_items_are_one_dataset() -> None:
    train, select, test = pair(30), pair(12, 1), pair(9, 2)
    whole = from_datasets(train, select, test)
    tensors = from_datasets(*(TensorDataset(*part) for part in (train, select, test)))
    items = from_datasets(*(Items(*part) for part in (train, select, test)))
    assert whole.fingerprint == tensors.fingerprint == items.fingerprint
    assert torch.equal(whole.train_inputs, train[0])
    assert whole.select_inputs is not None
    assert torch.equal(whole.select_inputs, select[0])
    parts = split(whole, "holdout", seed=0)
    assert torch.equal(parts.select_inputs, select[0])
    assert torch.equal(parts.train_inputs, train[0])
    assert torch.equal(parts.report_targets, test[1])


def test_the_validation_set_is_part_of_the_fingerprint() -> None:
    train, test = pair(30), pair(9, 2)
    prints = {
        from_datasets(train, None, test).fingerprint,
        from_datasets(train, pair(12, 1), test).fingerprint,
        from_datasets(train, pair(12, 3), test).fingerprint,
    }
    assert len(prints) == 3


def rows(*parts: torch.Tensor) -> list[tuple[float, ...]]:
    return sorted(tuple(row.flatten().tolist()) for part in parts for row in part)


def test_without_a_test_set_half_of_the_validation_set_is_put_by() -> None:
    train, select = pair(30), pair(12, 1)
    found = from_datasets(train, select)
    assert found.select_inputs is not None
    assert len(found.select_inputs) == len(found.test_inputs) == 6
    assert rows(found.select_inputs, found.test_inputs) == rows(select[0])
    assert found.test_targets.bincount().tolist() == [2, 2, 2]
    assert torch.equal(found.train_inputs, train[0])
    assert found.fingerprint == from_datasets(train, select).fingerprint
    assert found.fingerprint != from_datasets(train, select, seed=1).fingerprint


def test_of_a_training_set_alone_a_sixth_is_put_by() -> None:
    train = pair(36)
    found = from_datasets(train)
    assert found.select_inputs is None
    assert len(found.test_inputs) == 6
    assert rows(found.train_inputs, found.test_inputs) == rows(train[0])


def test_tokens_stay_numbers_and_have_a_target_each() -> None:
    tokens = torch.arange(40).reshape(8, 5)
    found = from_datasets((tokens, tokens + 1), test=Items(tokens, tokens + 1))
    assert found.train_inputs.dtype == torch.int64
    assert torch.equal(found.test_targets, tokens + 1)
    assert found.classes == 41
    parts = split(found, "holdout", seed=0, fraction=0.25)
    assert parts.select_targets.shape == (2, 5)
    assert rows(parts.train_targets, parts.select_targets) == rows(tokens + 1)


def test_bytes_are_scaled() -> None:
    images = torch.full((12, 2, 2), 255, dtype=torch.uint8)
    labels = torch.arange(12) % 2
    assert from_datasets((images, labels)).train_inputs.unique().tolist() == [1.0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((pair(1),), "1 examples, too few to put some by as the test set"),
        ((pair(30), pair(1)), "the validation set of 'own' has 1 examples"),
        (((pair(30)[0], -torch.ones(30).long()),), "label -1: number the classes"),
        ((pair(30), (torch.rand(6, 3, 2), torch.arange(6) % 3)), r"shape \(2, 3\) but"),
        ((pair(30), (pair(6)[0].double().long(), pair(6)[1])), "float32 but"),
        ((iter([]),), "without a length"),
        (((pair(6)[0], torch.rand(6)),), "float32: give class numbers"),
        (((pair(6)[0], pair(5)[1]),), r"\(6, 2, 3\) and \(5,\): give as many targets"),
        (((pair(6)[0], torch.tensor(3)),), "give as many targets as inputs"),
        (((pair(6)[0].bfloat16(), pair(6)[1]),), "bfloat16 .*: give dense float32"),
        (((pair(6)[0], pair(6)[1] + 10**13),), "label 1000000000000"),
        (((torch.zeros(6, 2, dtype=torch.int32), pair(6)[1]),), "holds int32"),
        ((Items(torch.rand(9, 3), torch.zeros(9, 1).long()),), "at least 2 are needed"),
    ],
)
def test_what_cannot_be_is_refused(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        from_datasets(*given)
