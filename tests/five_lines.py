"""The five lines on every kind of model, run from an installed bogp by test_wheel, make wheel."""

import sys
import tempfile
import warnings
from pathlib import Path

import torch

import bogp
from bogp.errors import LayerCollapseWarning
from bogp.training import model_factory

QUICK = bogp.Recipe(learning_rate=3e-3, batch_size=64, epochs=1)
MODELS = ("mlp:32", "lenet-300-100", "lenet-5", "resnet-8", "resnet-20", "vit", "gpt")


def sets(name: str, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return real training, validation and test data, a few of each."""
    data = bogp.load_dataset(name)
    parts = bogp.split(data, "holdout", seed=0)
    return [
        (parts.train_inputs[:count], parts.train_targets[:count]),
        (parts.select_inputs[:count], parts.select_targets[:count]),
        (parts.report_inputs[:count], parts.report_targets[:count]),
    ]


# Tiny trainings choose among masks that leave a layer of a tiny network without a weight.
warnings.simplefilter("ignore", LayerCollapseWarning)


def main(trials: int, count: int) -> None:
    for spec in MODELS:
        name = "text" if spec == "gpt" else "digits"
        data = bogp.load_dataset(name)
        model = model_factory(spec, data.shape, data.classes)()
        train, val, test = sets(name, count)
        with tempfile.TemporaryDirectory() as folder:
            result = bogp.prune(
                model, train, val, test,
                sparsity=0.9, recipe=QUICK, trials=trials, final_seeds=1, controls=trials > 1,
            )  # fmt: skip
            weights = dict(result.model.named_parameters())
            assert all((weights[n][~kept] == 0).all() for n, kept in result.mask.items())
            result.report(Path(folder) / "report.html")
            path = result.save(Path(folder) / "pruned.safetensors")
            loaded, mask = bogp.load_model(model, path)
            assert mask == result.mask
            assert torch.equal(loaded.eval()(test[0][:4]), result.model(test[0][:4]))
        print(f"{spec}: {result.mask.kept} of {result.mask.total} weights", flush=True)


if __name__ == "__main__":
    print(bogp.__file__)
    main(*map(int, sys.argv[1:]))
