from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bogp.data.idx import IDX_FILES, format_idx


@pytest.fixture
def arrays() -> dict[str, npt.NDArray[Any]]:
    """Twelve training and six test images of 4 x 5 bytes in three classes."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (12, 4, 5), dtype=np.uint8),
        "y_train": np.arange(12, dtype=np.uint8) % 3,
        "x_test": rng.integers(0, 256, (6, 4, 5), dtype=np.uint8),
        "y_test": np.arange(6, dtype=np.uint8) % 3,
    }


@pytest.fixture
def write_idx(arrays: dict[str, npt.NDArray[Any]]) -> Callable[[Path], Path]:
    """Write the four arrays as plain IDX files into a folder."""

    def write(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in zip(IDX_FILES, arrays.values(), strict=True):
            (folder / name).write_bytes(format_idx(array))
        return folder

    return write
