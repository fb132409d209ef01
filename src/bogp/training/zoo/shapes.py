"""Checks of the sizes that networks are asked for, and images without an axis of channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bogp.errors import SettingError


def image_sizes(what: str, shape: Sequence[int], smallest: int = 1) -> tuple[int, int, int]:
    """Return channels, height and width of images of ``shape``, (H, W) or (C, H, W).

    Raises:
        SettingError: another number of dimensions, or fewer than ``smallest`` rows or columns;
            ``what`` names the model.
    """
    sizes = tuple(int(size) for size in shape)
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise SettingError(
            f"{what} cannot take inputs of shape {sizes}: it needs images, (height, width) or "
            "(channels, height, width); an mlp takes any"
        )
    channels, height, width = sizes if len(sizes) == 3 else (1, *sizes)
    if min(height, width) < smallest:
        raise SettingError(
            f"{what} cannot take images of {height} x {width}: it needs {smallest} x {smallest} "
            "or more"
        )
    return channels, height, width


def with_channels(shape: Sequence[int]) -> nn.Module:
    """Return a module from images (N, *shape) to (N, C, H, W), C = 1 where ``shape`` has none."""
    return nn.Identity() if len(shape) == 3 else nn.Unflatten(1, (1, int(shape[0])))


def at_least_one(what: str, **sizes: int) -> None:
    """Raise SettingError for the first of ``sizes`` that is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise SettingError(f"{what}: {name} = {size} is below 1: give 1 or more")
