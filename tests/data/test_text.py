import pydoc_data.topics

import torch

from bogp.data import load_dataset, split


def test_targets_are_the_next_characters_of_one_text() -> None:
    data = load_dataset("text")
    assert data.shape == (32,)
    assert data.train_inputs.dtype == torch.int64
    assert torch.equal(data.train_inputs[:, 1:], data.train_targets[:, :-1])
    assert torch.equal(data.train_inputs[1:, 0], data.train_targets[:-1, -1])
    assert torch.equal(data.test_inputs[0, 0], data.train_targets[-1, -1])
    assert int(data.train_inputs.max()) < data.classes
    assert len(data.test_inputs) == (len(data.train_inputs) + len(data.test_inputs)) // 10


def test_the_text_is_what_the_topics_say() -> None:
    data = load_dataset("text")
    text = "".join(sorted(pydoc_data.topics.topics.items())[0][1])
    alphabet = sorted({*map(chr, range(128))} & {*"\n\n".join(pydoc_data.topics.topics.values())})
    alphabet.remove("?")
    assert data.classes == len(alphabet)
    read = "".join(alphabet[code] for code in data.train_inputs[:2].flatten())
    assert read == text[:64]


def test_sequences_are_held_out_whole() -> None:
    parts = split(load_dataset("text"), "holdout", seed=0)
    assert parts.select_targets.shape[1] == 32
    assert torch.equal(parts.select_inputs[:, 1:], parts.select_targets[:, :-1])
