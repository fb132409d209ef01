import pytest

from bogp.errors import RecipeError, UnknownNameError
from bogp.training import RECIPES, Recipe, recipe


def test_written_is_the_papers_text():
    written = recipe("written")
    assert (written.optimizer, written.learning_rate) == ("adam", 3e-4)
    assert (written.batch_size, written.epochs) == (None, 50)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"learning_rate": -1, "epochs": 1}, "learning_rate = -1"),
        ({"learning_rate": 0.1, "epochs": 0}, "epochs = 0"),
        ({"learning_rate": 0.1, "epochs": 1, "batch_size": 0}, "batch_size = 0"),
        ({"learning_rate": 0.1, "epochs": 1, "optimizer": "rmsprop"}, "optimizer = 'rmsprop'"),
        ({"learning_rate": 0.1, "epochs": 1, "momentum": 0.9}, "momentum = 0.9"),
        ({"learning_rate": float("nan"), "epochs": 1}, "learning_rate = nan"),
    ],
)
def test_bad_values_are_one_sentence(values, words):
    with pytest.raises(RecipeError) as caught:
        Recipe(**values)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_and_recipes_are_both_taken():
    assert recipe("calibrated") is RECIPES["calibrated"]
    mine = Recipe(learning_rate=0.1, epochs=1)
    assert recipe(mine) is mine
    with pytest.raises(UnknownNameError, match="did you mean written"):
        recipe("writen")
