"""The training recipe: everything about training, but the data and the model, that a result
depends on."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import pydantic

from bogp.errors import RecipeError, UnknownNameError


class Recipe(pydantic.BaseModel):
    """Optimiser, learning rate and its schedule, batch size and epochs of one training run.

    Attributes:
        optimizer: ``adam`` (Kingma & Ba 2015), ``adamw`` (Loshchilov & Hutter 2019) or ``sgd``.
        learning_rate: the largest rate that the schedule reaches.
        momentum: momentum of ``sgd``; the other optimisers take none.
        weight_decay: this times the weight is added to the gradient (``adamw``: to the step).
        schedule: ``constant``; ``cosine``, which falls to 0 (Loshchilov & Hutter 2017); or
            ``one_cycle`` (Smith & Topin 2018), which rises from a 25th in the first 30 % of the
            steps and then falls along a cosine. See :meth:`rate_at`.
        batch_size: examples in a mini-batch; None takes the whole training set at once.
        epochs: passes over the training set.
        label_smoothing: the share of each target that is spread evenly over all classes (Szegedy et
            al. 2016).
        patience: training stops after so many epochs in a row without a better accuracy on the data
            that selects; None never stops early.
        threads: CPU threads of one training run. Their number changes the order of floating-point
            sums, so that it is part of the recipe; with 1, a result does not depend on how many
            runs go side by side.

    Raises:
        RecipeError: a value is out of range, or does not go with the optimiser.

    >>> Recipe(learning_rate=0.003, batch_size=256, epochs=3).optimizer
    'adam'
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = pydantic.Field(gt=0, allow_inf_nan=False)
    momentum: float = pydantic.Field(default=0.0, ge=0, lt=1)
    weight_decay: float = pydantic.Field(default=0.0, ge=0, allow_inf_nan=False)
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    batch_size: int | None = pydantic.Field(default=None, ge=1)
    epochs: int = pydantic.Field(ge=1)
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=1)
    patience: int | None = pydantic.Field(default=None, ge=1)
    threads: int = pydantic.Field(default=1, ge=1)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            if first["type"] == "missing":
                raise RecipeError(f"recipe: {where} is not given: add {where} = ...") from None
            raise RecipeError(
                f"recipe: {where} = {first['input']!r}: {first['msg'].lower()}"
            ) from None
        if self.momentum and self.optimizer != "sgd":
            raise RecipeError(
                f"recipe: momentum = {self.momentum}: {self.optimizer} takes none, "
                "so leave it out or use optimizer = 'sgd'"
            )

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Return the recipe of a TOML file: one ``name = value`` a line.

        Raises:
            RecipeError: the file cannot be read, is no TOML, or holds a wrong value.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read recipe {str(path)!r} ({error})") from None
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            why = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise RecipeError(f"recipe {str(path)!r} is not TOML ({why})") from None
        return cls(**values)

    def steps(self, examples: int) -> int:
        """Return the optimiser's steps in one epoch over ``examples``."""
        return 1 if self.batch_size is None else math.ceil(examples / self.batch_size)

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of step ``step`` = 0, 1, … of ``steps`` in the whole run.

        With x = step / steps: ``cosine`` is ``rate * (1 + cos(pi x)) / 2``; ``one_cycle`` rises in
        a straight line from ``rate / 25`` to ``rate`` at x = 0.3 and then falls along half a
        cosine to 0.

        >>> recipe = Recipe(learning_rate=1.0, epochs=1, schedule="one_cycle")
        >>> [round(recipe.rate_at(step, 10), 2) for step in (0, 3, 9)]
        [0.04, 1.0, 0.05]
        """
        x = step / steps
        if self.schedule == "cosine":
            return self.learning_rate * (1.0 + math.cos(math.pi * x)) / 2.0
        if self.schedule == "one_cycle":
            if x < _WARM:
                return self.learning_rate * (_COLD + (1.0 - _COLD) * x / _WARM)
            return self.learning_rate * (1.0 + math.cos(math.pi * (x - _WARM) / (1 - _WARM))) / 2.0
        return self.learning_rate


_WARM, _COLD = 0.3, 1.0 / 25.0
"""One-cycle: share of the steps in which the rate rises, and the share of it to start from."""

RECIPES: dict[str, Recipe] = {
    # §6.3 as printed: the whole training set at once, 50 epochs, Adam; "3*10^4" read as 3e-4.
    "written": Recipe(learning_rate=3e-4, batch_size=None, epochs=50),
    # About table 1's dense 0.970 at the least cost (docs/decisions/0004).
    "calibrated": Recipe(learning_rate=3e-3, batch_size=256, epochs=3),
}


def recipe(given: str | Recipe | Mapping[str, Any]) -> Recipe:
    """Return a recipe by name, from a ``.toml`` file or its fields, or the recipe itself.

    Raises:
        UnknownNameError: no such recipe.
        RecipeError: the file or the fields are no recipe.
    """
    if isinstance(given, Recipe):
        return given
    if isinstance(given, Mapping):
        return Recipe(**given)
    if not isinstance(given, str):
        raise RecipeError(f"recipe {given!r} is none: give a bogp.Recipe, a name or a .toml file")
    if given.endswith(".toml"):
        return Recipe.from_toml(given)
    if given not in RECIPES:
        raise UnknownNameError("recipe", given, RECIPES)
    return RECIPES[given]
