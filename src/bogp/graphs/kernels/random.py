"""Random numbers inside kernels: xoshiro256++ seeded by SplitMix64 (Blackman & Vigna 2021).

A kernel holds the four words of the state in a uint64 array and advances it by calls; each graph
has a state of its own, made from its own seed, so what it draws depends on nothing else. NumPy's
generators cannot be made inside compiled code, and making one outside costs more than a graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bogp.graphs.kernels.compiled import compiled, inlined

Random = npt.NDArray[np.uint64]
"""The state of a generator: four words, shape (4,)."""


GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""By how much SplitMix64 advances."""


def scramble(word: Any) -> Any:
    """Return SplitMix64's output for a uint64 or an array of them; near words differ wholly."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


_scramble = inlined(scramble)


@compiled
def seed_state(state: Random, seed: Any) -> None:
    """Set ``state`` (4,) from a seed, a uint64."""
    word = np.uint64(seed)
    for k in range(4):
        word = word + GAMMA
        state[k] = _scramble(word)


@inlined
def next_word(state: Random) -> Any:
    """Advance ``state`` and return 64 random bits."""
    total = state[0] + state[3]
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + state[0]
    shifted = state[1] << np.uint64(17)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = (state[3] << np.uint64(45)) | (state[3] >> np.uint64(19))
    return result


@inlined
def next_float(state: Random) -> Any:
    """Advance ``state`` and return a float64 uniform in [0, 1), of 53 random bits."""
    return (next_word(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@inlined
def next_below(state: Random, limit: int) -> Any:
    """Advance ``state`` and return a whole number in [0, limit), limit at most 2^32.

    The high half of a product (Lemire 2019) without its rejection step: off uniform by less than
    limit / 2^32 of a share, below what a million graphs can show at the sizes used here.
    """
    return np.int64(((next_word(state) >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32))


@compiled
def shuffle(state: Random, values: npt.NDArray[Any]) -> None:
    """Put ``values`` (count,) in a random order, in place (Fisher & Yates; Durstenfeld 1964)."""
    for k in range(len(values) - 1, 0, -1):
        other = next_below(state, k + 1)
        values[k], values[other] = values[other], values[k]
