"""The datasets that have a name: to add one is a function and a line of the table."""

from __future__ import annotations

import pydoc_data.topics
from collections.abc import Callable

import numpy as np
import torch

from bogp.data.arrays import make_dataset
from bogp.data.dataset import Dataset
from bogp.data.idx import idx_dataset
from bogp.data.mnist import mnist_files
from bogp.data.split import stratified_draw


def load_mnist() -> Dataset:
    """Return MNIST's 60,000 and 10,000 images (28, 28): 20 MB that are fetched once and checked.

    Raises:
        DataError: it is not in the cache and cannot be fetched.
    """
    return idx_dataset("mnist", mnist_files())


_DIGITS_TEST, _DIGITS_SEED = 360, 0
"""Test images of the digits, and the seed that draws them, the same for everyone."""


def load_digits() -> Dataset:
    """Return scikit-learn's digits, 1,437 and 360 images (8, 8), which need no download.

    Their values, 0 to 16, are divided by 16. The test images are a stratified draw
    (`stratified_draw`) with a seed of its own: no seed of a search moves an image from one set to
    the other.
    """
    # Imported here: scikit-learn takes a second to import and only this dataset needs it.
    from sklearn.datasets import load_digits as sklearn_digits

    digits = sklearn_digits()
    inputs, targets = (digits.images / 16).astype(np.float32), digits.target.astype(np.int64)
    test = stratified_draw(targets, _DIGITS_TEST, _DIGITS_SEED)
    parts = {"train": (inputs[~test], targets[~test]), "test": (inputs[test], targets[test])}
    return make_dataset("digits", parts)


_LENGTH = 32
"""Characters of a sequence of text."""

_TEXT_TEST = 10
"""One of so many sequences is the test set's: those at the text's end, in one piece."""


def load_text() -> Dataset:
    """Return the text of Python's ``help()`` topics, whose next characters are to be told: for gpt.

    An input is the numbers of 32 characters in a row, int64 (T,), and its target those of the
    characters after each, (T,). Question marks and characters outside ASCII count as a space, and
    runs of spaces as one. About 400,000 characters; the text, and so the fingerprint, is that of
    the Python that runs. The last tenth is the test set.
    """
    topics = pydoc_data.topics.topics
    text = "\n\n".join(topics[name] for name in sorted(topics))
    text = text.encode("ascii", "replace").decode().replace("?", " ")
    text = "".join(a for a, b in zip(text, text[1:] + " ", strict=True) if (a, b) != (" ", " "))
    alphabet = sorted(set(text))
    numbers = {character: number for number, character in enumerate(alphabet)}
    codes = torch.tensor([numbers[character] for character in text])
    count = (len(codes) - 1) // _LENGTH
    inputs = codes[: count * _LENGTH].view(count, _LENGTH)
    targets = codes[1 : count * _LENGTH + 1].view(count, _LENGTH)
    first = count - count // _TEXT_TEST
    # Copies: the two overlap in memory, which no file format takes.
    return Dataset(
        "text",
        inputs[:first].clone(),
        targets[:first].clone(),
        inputs[first:].clone(),
        targets[first:].clone(),
        classes=len(alphabet),
    )


DATASETS: dict[str, Callable[[], Dataset]] = {
    "mnist": load_mnist,
    "digits": load_digits,
    "text": load_text,
}
"""The datasets by name; what each is, is the first line of its function's docstring."""
