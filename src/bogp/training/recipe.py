"""The training recipe: everything about training, but the data and the model, that a result
depends on."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from bogp.errors import RecipeError, UnknownNameError


class Recipe(pydantic.BaseModel):
    """Optimiser, learning rate, batch size and epochs of one training run.

    ``batch_size`` None trains on the whole training set at once. ``threads`` is the number of
    CPU threads of one training run: it changes the order of floating-point sums, so it is part
    of the recipe, and 1 lets a result not depend on how many runs go side by side.

    >>> Recipe(learning_rate=0.003, batch_size=256, epochs=3).optimizer
    'adam'
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = pydantic.Field(gt=0, allow_inf_nan=False)
    batch_size: int | None = pydantic.Field(default=None, ge=1)
    epochs: int = pydantic.Field(ge=1)
    threads: int = pydantic.Field(default=1, ge=1)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RecipeError(
                f"recipe: {where} = {first['input']!r}: {first['msg'].lower()}"
            ) from None


RECIPES: dict[str, Recipe] = {
    # §6.3 as printed: the whole training set at once, 50 epochs, Adam; "3*10^4" read as 3e-4.
    "written": Recipe(learning_rate=3e-4, batch_size=None, epochs=50),
    # About table 1's dense 0.970 at the least cost (docs/decisions/0004).
    "calibrated": Recipe(learning_rate=3e-3, batch_size=256, epochs=3),
}


def recipe(name_or_recipe: str | Recipe) -> Recipe:
    """Return a recipe by name, or the recipe itself.

    Raises:
        UnknownNameError: no such recipe.
    """
    if isinstance(name_or_recipe, Recipe):
        return name_or_recipe
    if name_or_recipe not in RECIPES:
        raise UnknownNameError("recipe", name_or_recipe, RECIPES)
    return RECIPES[name_or_recipe]
