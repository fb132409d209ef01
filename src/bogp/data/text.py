"""English text at hand: the help topics that come with Python, character by character."""

from __future__ import annotations

import pydoc_data.topics

import torch

from bogp.data.dataset import Dataset

LENGTH = 32
"""Characters of a sequence."""

_TEST = 10
"""Of so many sequences the last one is the test set's, in one piece at the text's end."""


def load_text() -> Dataset:
    """Return next-character prediction on the text of Python's ``help()`` topics.

    An input is the numbers of :data:`LENGTH` characters in a row, int64 (T,), and its target those
    of the characters after each, (T,). Question marks and characters outside ASCII count as a
    space, and runs of spaces as one. About 400,000 characters; the text, and so the fingerprint, is
    that of the Python that runs. The last tenth is the test set.
    """
    topics = pydoc_data.topics.topics
    text = "\n\n".join(topics[name] for name in sorted(topics))
    text = text.encode("ascii", "replace").decode().replace("?", " ")
    text = "".join(a for a, b in zip(text, text[1:] + " ", strict=True) if (a, b) != (" ", " "))
    alphabet = sorted(set(text))
    numbers = {character: number for number, character in enumerate(alphabet)}
    codes = torch.tensor([numbers[character] for character in text])
    count = (len(codes) - 1) // LENGTH
    inputs = codes[: count * LENGTH].view(count, LENGTH)
    targets = codes[1 : count * LENGTH + 1].view(count, LENGTH)
    first = count - count // _TEST
    # Copies: the two overlap in memory, which no file format takes.
    return Dataset(
        "text",
        inputs[:first].clone(),
        targets[:first].clone(),
        inputs[first:].clone(),
        targets[first:].clone(),
        classes=len(alphabet),
    )
