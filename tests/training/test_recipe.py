import pytest
import torch

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
        ({"learning_rate": 0.1, "epochs": 1, "momentum": 0.9}, "momentum = 0.9: adam takes none"),
        ({"learning_rate": 0.1, "epochs": 1, "schedule": "step"}, "schedule = 'step'"),
        ({"learning_rate": 0.1, "epochs": 1, "label_smoothing": 1.0}, "label_smoothing = 1.0"),
        ({"learning_rate": 0.1, "epochs": 1, "patience": 0}, "patience = 0"),
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


def test_the_rate_follows_the_schedules_formula():
    def rates(schedule):
        made = Recipe(learning_rate=0.5, epochs=1, schedule=schedule)
        return [made.rate_at(step, 20) for step in range(20)]

    assert rates("constant") == [0.5] * 20
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for rate in rates("cosine"):
        assert rate == pytest.approx(cosine.get_last_lr()[0])
        optimizer.step()
        cosine.step()
    cycle = rates("one_cycle")
    assert cycle[0] == pytest.approx(0.02)
    assert max(cycle) == cycle[6] == pytest.approx(0.5)
    assert cycle[1:7] == sorted(cycle[1:7])
    assert cycle[6:] == sorted(cycle[6:], reverse=True)
    assert cycle[13] == pytest.approx(0.25)


def test_steps_cover_the_examples():
    assert Recipe(learning_rate=1, epochs=1, batch_size=32).steps(65) == 3
    assert Recipe(learning_rate=1, epochs=1).steps(65) == 1


def test_a_recipe_is_read_from_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('optimizer = "sgd"\nmomentum = 0.9\nlearning_rate = 0.1\nepochs = 2\n')
    made = Recipe(optimizer="sgd", momentum=0.9, learning_rate=0.1, epochs=2)
    assert recipe(str(path)) == Recipe.from_toml(path) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = ", "is not TOML"),
        ("epochs = 2\n", "learning_rate"),
        ("learning_rate = 0.1\nepochs = 2\nepoch = 3\n", "epoch = 3"),
        (None, "cannot read recipe"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=words):
        recipe(str(path))


def test_a_recipe_that_is_nested_too_deeply_is_refused(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text("x = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(RecipeError, match="is not TOML"):
        Recipe.from_toml(path)
