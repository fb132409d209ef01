"""A model that a function of the user's makes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bogp.data.function import current_folder_importable, import_function
from bogp.data.torch_datasets import reason
from bogp.errors import SettingError
from bogp.training.randomness import seeded


def own_model(source: str) -> Callable[[], nn.Module]:
    """Return the function ``"package.module:function"``, which makes a model each time.

    It is found as ``python -m`` would find it, from the current folder, and called twice here to
    see that it works; a class does as well.

    Raises:
        SettingError: the import, the function or a call fails, or it returns something else than
            an nn.Module, or the same one twice.
    """
    # What a module draws while it is imported must not move the global random state either.
    with seeded(0), current_folder_importable():
        function = import_function(source, "model", "an nn.Module", SettingError)

    def make() -> nn.Module:
        with current_folder_importable():
            try:
                model = function()
            except (Exception, SystemExit) as error:
                raise SettingError(f"{source!r} failed when called: {reason(error)}") from error
        if not isinstance(model, nn.Module):
            raise SettingError(
                f"{source!r} returned a {type(model).__name__}: it must return an nn.Module"
            )
        return model

    with seeded(0):
        first, second = make(), make()
    if any(p is q for p, q in zip(first.parameters(), second.parameters(), strict=False)):
        raise SettingError(
            f"{source!r} returned the same model twice, so that no seed could change its initial "
            "weights: make a new one in each call"
        )
    return make
