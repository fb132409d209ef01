"""Models by name for any shape, and models that a function of the user's makes."""

import pytest
import torch

from bogp.errors import SettingError
from bogp.training import initialise, model_factory
from bogp.training.zoo import GPT, ViT
from bogp.training.zoo.resnet import Residual

SOURCE = """
import torch
from torch import nn

def make():
    import later_module  # found from the current folder also when it is called
    return nn.Sequential(nn.Flatten(), nn.Linear(later_module.SIZE, 3))

class Own(nn.Linear):
    def __init__(self):
        super().__init__(4, 3)

KEPT = nn.Linear(4, 3)

def same():
    return KEPT

def broken():
    raise ValueError("no weights at hand\\nsecond line")

def other():
    return [1]

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(SOURCE)
    (tmp_path / "later_module.py").write_text("SIZE = 4")
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    yield "own_networks"
    for name in ("own_networks", "later_module"):
        __import__("sys").modules.pop(name, None)


def test_a_function_or_a_class_of_the_user_s(module):
    state = torch.get_rng_state()
    for name in ("make", "Own"):
        factory = model_factory(f"{module}:{name}", (4,), 3)
        one, same, other = (initialise(factory, seed) for seed in (1, 1, 2))
        weights = [next(model.parameters()) for model in (one, same, other)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
        assert one(torch.zeros(2, 4)).shape == (2, 3)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("no_such_module:make", "cannot import module 'no_such_module' of model .*ModuleNotFound"),
        ("broken_module:make", "cannot import module 'broken_module' .*ZeroDivisionError"),
        ("own_networks:nothing", "module 'own_networks' has no function 'nothing'"),
        ("own_networks:number", "holds no function under the name 'number'"),
        ("own_networks:broken", r"failed when called: ValueError: no weights at hand$"),
        ("own_networks:other", "returned a list: it must return an nn.Module"),
        ("own_networks:same", "returned the same model twice"),
    ],
)
def test_what_cannot_be_had_is_told(module, source, sentence):
    with pytest.raises(SettingError, match=sentence):
        model_factory(source, (4,), 3)


def test_names_take_the_shape():
    shapes = {
        "mlp:16": (8, 8),
        "lenet-300-100": (2, 8, 8),
        "lenet-5": (8, 8),
        "resnet-8": (1, 8, 8),
        "resnet-20": (8, 8),
        "vit": (2, 8, 8),
    }
    for spec, shape in shapes.items():
        model = model_factory(spec, shape, 5)()
        assert model(torch.rand(2, *shape)).shape == (2, 5)
    for spec, features in (("mlp:16", 64), ("lenet-300-100", 64)):
        assert model_factory(spec, features, 5)()(torch.rand(2, 8, 8)).shape == (2, 5)
    tokens = torch.zeros(2, 9, dtype=torch.int64)
    for features in (9, (9,), [9], torch.Size([9])):
        assert model_factory("gpt", features, 5)()(tokens).shape == (2, 9, 5)


def test_options_follow_a_colon():
    model = model_factory("resnet-14:width=3", (8, 8), 5)()
    assert isinstance(model.layer1[0], Residual)
    assert (model.conv1.out_channels, len(model.layer1)) == (3, 2)
    model = model_factory("vit:width=12,depth=3,heads=3,patch=4,pool=token", (8, 8), 5)()
    assert isinstance(model, ViT)
    assert (len(model.blocks), model.position.shape) == (3, (1, 5, 12))
    model = model_factory("gpt:attention=packed,ratio=1", 9, 5)()
    assert isinstance(model, GPT)
    assert model.blocks[0].attention.in_proj_weight.shape == (96, 32)


@pytest.mark.parametrize(
    ("spec", "features", "sentence"),
    [
        (
            "lenet-5",
            784,
            r"lenet-5 cannot take inputs of shape \(784,\): it needs images.*an mlp takes any",
        ),
        ("resnet-8", (64,), r"resnet-8 cannot take inputs of shape \(64,\): it needs images"),
        ("vit", (1, 2, 3, 4), r"inputs of shape \(1, 2, 3, 4\)"),
        ("lenet-5", (5, 5), "lenet-5 cannot take images of 5 x 5"),
        ("gpt", (8, 8), r"gpt reads sequences of tokens .* shape \(8, 8\)"),
        ("resnet-9", (8, 8), "depth 9"),
        ("resnet", (8, 8), "model 'resnet' is unknown: give 'mlp:128'"),
        ("vit:", (8, 8), "model 'vit:' has no option ''"),
        ("vit:size=3", (8, 8), "no option 'size=3': choose from patch, pool, width"),
        ("vit:width=8,width=8", (8, 8), "no option 'width=8'"),
        ("vit:width=wide", (8, 8), "width cannot be 'wide'"),
        ("vit:pool=3", (8, 8), "pool cannot be 3"),
        ("lenet-5:width=3", (8, 8), "no option 'width=3': choose from conv1, conv2, fc1, fc2"),
        ("lenet-5:fc2=0", (8, 8), "lenet-5: fc2 = 0 is below 1"),
        ("lenet-300-100:width=3", (8, 8), "no option 'width=3': leave it out"),
        ("mlp:0", (8, 8), r"mlp of sizes \[64, 0, 5\]"),
    ],
)
def test_other_texts_and_shapes_are_refused(spec, features, sentence):
    with pytest.raises(SettingError, match=sentence):
        model_factory(spec, features, 5)
