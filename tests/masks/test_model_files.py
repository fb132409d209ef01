"""A pruned model in one file, and the masks of files that others wrote."""

import copy
import json
from importlib import metadata

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import prune

from bogp.errors import MaskError, OutputError, SettingError
from bogp.masks import (
    Mask,
    choose_layers,
    load_mask,
    load_model,
    read_mask,
    read_model,
    save_mask,
    save_model,
)
from bogp.masks.tensors import write_safetensors
from bogp.training import mlp


class Tied(nn.Module):
    """A head that is the embedding, and two linear layers of one weight."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(7, 4)
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.tokens.weight


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3)
    )


# Twelve modules: in the order of their names "11.weight" comes before "3.weight".
MODELS = {
    "mlp": lambda: mlp([6, 5, 5, 5, 5, 5, 3]),
    "convolutional": convolutional,
    "tied": Tied,
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "half": lambda: mlp([6, 5, 3]).to(torch.bfloat16),
}


def random_mask(model, seed=0, dense=0.5):
    generator = torch.Generator().manual_seed(seed)
    return Mask(
        {
            name: torch.rand(model.get_parameter(name).shape, generator=generator) < dense
            for name in choose_layers(model, "all")
        }
    )


@pytest.fixture
def pruned(tmp_path):
    """A model, its mask, and the file of both."""
    model = mlp([6, 5, 3])
    mask = random_mask(model)
    return model, mask, save_model(model, mask, tmp_path / "m.safetensors")


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_comes_back_with_its_zeros(tmp_path, kind):
    model = MODELS[kind]()
    for name, buffer in model.named_buffers():  # batch statistics are not what they begin with
        buffer.add_(len(name))
    before = copy.deepcopy(model.state_dict())
    mask = random_mask(model)
    path = save_model(model, mask, tmp_path / "m.safetensors")
    fresh = MODELS[kind]()
    loaded, found = load_model(fresh, path)
    assert found == mask
    expected = copy.deepcopy(model)
    for name, layer in mask.items():
        expected.get_parameter(name).data[~layer] = 0
    assert loaded.state_dict().keys() == before.keys()
    for name, value in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
        assert torch.equal(model.state_dict()[name], before[name])
    # The model that was given is another one still.
    assert not torch.equal(
        fresh.get_parameter(next(iter(mask))), loaded.get_parameter(next(iter(mask)))
    )


def test_pruned_weights_are_exactly_zero_even_where_they_were_not_numbers(tmp_path):
    model = mlp([6, 5, 3])
    mask = random_mask(model)
    place = tuple((~mask["1.weight"]).nonzero()[0].tolist())
    model[1].weight.data[place] = torch.nan
    saved = read_model(save_model(model, mask, tmp_path / "m"))
    assert saved.state["1.weight"][place] == 0
    assert not saved.state["1.weight"].signbit()[~mask["1.weight"]].any()


def test_a_tied_tensor_is_written_once_and_comes_back_tied(tmp_path):
    model = Tied()
    mask = random_mask(model)
    path = save_model(model, mask, tmp_path / "m.safetensors")
    tensors = safetensors.torch.load_file(path)
    masks = {"one.weight.bogp_mask"}
    assert set(tensors) == masks | {"tokens.weight", "one.weight", "one.bias", "two.bias"}
    state = read_model(path).state
    assert state["head.weight"] is state["tokens.weight"]
    loaded, _ = load_model(Tied(), path)
    assert loaded.head.weight is loaded.tokens.weight
    assert torch.equal(loaded.two.weight != 0, mask["one.weight"])


def test_views_of_one_storage_are_no_tied_tensors(tmp_path):
    model = mlp([4, 4, 4])
    both = torch.randn(8, 4)
    model[1].weight.data, model[3].weight.data = both[:4], both[4:].T
    saved = read_model(save_model(model, random_mask(model, dense=1.1), tmp_path / "m"))
    assert torch.equal(saved.state["1.weight"], both[:4])
    assert torch.equal(saved.state["3.weight"], both[4:].T)


def test_parameters_that_share_their_memory_share_their_zeros(tmp_path):
    model = mlp([4, 4, 4])
    model[3].weight.data = model[1].weight.data  # two parameters for torch
    mask = random_mask(model)
    state = read_model(
        save_model(model, Mask({"3.weight": mask["3.weight"]}), tmp_path / "m")
    ).state
    assert torch.equal(state["1.weight"] != 0, mask["3.weight"])
    assert state["1.weight"] is state["3.weight"]
    with pytest.raises(MaskError, match=r"'1.weight' and '3.weight' share their memory"):
        save_model(model, mask, tmp_path / "m")


def test_the_metadata_says_what_is_in_the_file(tmp_path):
    model = mlp([6, 4, 2])
    ones = torch.ones(4, 6, dtype=torch.bool)
    ones[0] = False
    mask = Mask({"1.weight": ones, "3.weight": torch.eye(2, 4).bool()})
    path = save_model(model, mask, tmp_path / "m", {"author": "me"})
    notes = read_model(path).metadata
    layers = json.loads(notes.pop("layers"))
    assert layers == {
        "1.weight": {"shape": [4, 6], "density": 0.75},
        "3.weight": {"shape": [2, 4], "density": 0.25},
    }
    assert notes == {
        "format": "bogp.model",
        "bogp": metadata.version("bogp"),
        "key": mask.fingerprint,
        "kept": "20",
        "total": "32",
        "tied": "{}",
        "author": "me",
    }
    with safetensors.safe_open(save_mask(mask, tmp_path / "k"), framework="pt") as file:
        alone = file.metadata()
    del notes["author"], notes["tied"]
    assert len(alone.pop("bogp.checksum")) == 8
    assert alone == notes | {"format": "bogp.mask", "layers": json.dumps(layers)}


def test_metadata_that_cannot_be_is_refused(pruned, tmp_path):
    model, mask, _ = pruned
    with pytest.raises(SettingError, match="metadata 'kept' is bogp's own"):
        save_model(model, mask, tmp_path / "n", {"kept": "1"})
    with pytest.raises(SettingError, match="metadata 'epochs' is 3: give a text"):
        save_mask(mask, tmp_path / "n", {"epochs": 3})
    assert not (tmp_path / "n").exists()


def test_masks_keep_their_order(tmp_path):
    mask = random_mask(MODELS["mlp"]())
    assert list(mask) == [f"{k}.weight" for k in (1, 3, 5, 7, 9, 11)]
    assert load_mask(save_mask(mask, tmp_path / "m")) == mask


def test_another_models_file_is_refused_by_layer_and_shapes(pruned):
    _, _, path = pruned
    with pytest.raises(MaskError, match=r"'1.weight' is \(5, 6\) in '.*' and \(5, 7\) in the mod"):
        load_model(mlp([7, 5, 3]), path)
    with pytest.raises(MaskError, match=r"has no '5.weight', which the model has"):
        load_model(mlp([6, 5, 3, 3]), path)
    with pytest.raises(MaskError, match=r"has '3.bias', which the model does not"):
        load_model(nn.Sequential(nn.Flatten(), nn.Linear(6, 5)), path)


def test_weights_that_differ_do_not_go_into_tied_ones(tmp_path):
    loose = Tied()
    loose.two.weight = nn.Parameter(torch.randn(4, 4))
    path = save_model(loose, random_mask(loose), tmp_path / "m")
    with pytest.raises(MaskError, match=r"different weights for 'one.weight' and 'two.weight'"):
        load_model(Tied(), path)


def test_what_is_no_file_of_a_model_is_refused(pruned, tmp_path):
    model, mask, path = pruned
    whole = path.read_bytes()
    bad = tmp_path / "bad"
    for content in (b"", b"text", whole[:-1], whole[:50], torch.zeros(3).numpy().tobytes()):
        bad.write_bytes(content)
        for read in (read_model, load_mask, read_mask):
            with pytest.raises(MaskError, match="is not a readable safetensors file"):
                read(bad)
    with pytest.raises(MaskError, match="holds no bogp model: save one with save_model"):
        load_model(model, save_mask(mask, tmp_path / "mask"))
    with pytest.raises(MaskError, match="holds no bogp mask"):
        load_mask(path)
    tensors, notes = safetensors.torch.load_file(path), read_model(path).metadata
    for note in ("layers", "key", "tied"):
        without = {name: text for name, text in notes.items() if name != note}
        write_safetensors(bad, tensors, without)
        with pytest.raises(MaskError, match="are not those that it was saved with"):
            read_model(bad)
    tensors["1.weight.bogp_mask"] = 1 - tensors["1.weight.bogp_mask"]
    write_safetensors(bad, tensors, notes)
    with pytest.raises(MaskError, match="are not those that it was saved with"):
        read_model(bad)
    del tensors["1.weight.bogp_mask"]
    write_safetensors(bad, tensors, notes)
    with pytest.raises(MaskError, match="are not those that it was saved with"):
        load_model(model, bad)


def test_a_file_is_written_whole_or_not_at_all(pruned, tmp_path):
    model, mask, path = pruned
    before = path.read_bytes()
    with pytest.raises(MaskError, match=r"\(5, 6\).*\(5, 7\)"):
        save_model(mlp([7, 5, 3]), mask, path)
    meta = copy.deepcopy(model)
    meta[3] = nn.Linear(5, 3, device="meta")
    with pytest.raises(MaskError, match=r"'3.weight' of the model's state is no dense tensor"):
        save_model(meta, Mask({"1.weight": mask["1.weight"]}), path)
    held = nn.Sequential(nn.Flatten(), prune.identity(nn.Linear(6, 5), "weight"))
    with pytest.raises(MaskError, match=r"'1.weight' is held by torch.nn.utils.prune: call"):
        save_model(held, Mask({"1.weight": mask["1.weight"]}), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to folder"):
        save_model(model, mask, tmp_path / "file" / "m")


# Masks of whatever file


def zeroed(model, mask):
    for name, layer in mask.items():
        model.get_parameter(name).data[~layer] = 0
    return model


@pytest.mark.parametrize("write", ["mask", "model", "safetensors", "torch", "old", "wrapped"])
def test_a_mask_is_read_from_whatever_holds_it(tmp_path, write):
    model = mlp([6, 5, 3])
    mask = random_mask(model)
    path = tmp_path / "file"  # its name says nothing
    state = zeroed(copy.deepcopy(model), mask).state_dict()
    if write == "mask":
        save_mask(mask, path)
    elif write == "model":
        model[1].weight.data[mask["1.weight"]] = 0  # the mask, not the zeros
        save_model(model, mask, path)
    elif write == "safetensors":
        safetensors.torch.save_file(state, path)
    elif write == "wrapped":
        torch.save({"epoch": 3, "state_dict": state}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=write == "torch")
    assert read_mask(path) == mask


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_a_state_dict_of_torchs_pruning_has_its_masks(tmp_path, form):
    model = mlp([6, 5, 4, 3])
    prune.l1_unstructured(model[1], "weight", amount=7)
    prune.l1_unstructured(model[5], "weight", amount=5)
    prune.l1_unstructured(model[1], "bias", amount=1)
    state, path = model.state_dict(), tmp_path / "file"
    torch.save(state, path) if form == "torch" else safetensors.torch.save_file(state, path)
    mask = read_mask(path)
    assert list(mask) == ["1.weight", "5.weight"]
    for name, layer in mask.items():
        assert torch.equal(layer, state[f"{name}_mask"].bool())


def test_a_dense_file_has_a_complete_mask(tmp_path):
    model = convolutional()
    torch.save(model.state_dict(), tmp_path / "dense.pt")
    mask = read_mask(tmp_path / "dense.pt")
    assert list(mask) == ["0.weight", "3.weight"]
    assert mask.density == 1.0


def test_tied_weights_and_names(tmp_path):
    path = tmp_path / "tied.pt"
    torch.save(Tied().state_dict(), path)
    assert list(read_mask(path)) == ["tokens.weight", "one.weight"]
    assert list(read_mask(path, exclude="tokens.*")) == ["one.weight"]
    assert list(read_mask(path, include=["tok*"])) == ["tokens.weight"]
    with pytest.raises(MaskError, match="pattern 'embed' matches no weight: the file has tokens"):
        read_mask(path, exclude=["embed"])
    with pytest.raises(MaskError, match=r"no weight of .* is left to read"):
        read_mask(path, exclude="*")


def test_torch_files_that_hold_no_weights_are_refused(tmp_path):
    path = tmp_path / "file.pt"
    with pytest.raises(MaskError, match=r"file.pt' cannot be read \(No such file"):
        read_mask(path)
    with pytest.raises(MaskError, match=r"cannot be read \(Is a directory"):
        read_mask(tmp_path)
    torch.save(mlp([3, 2]), path)
    with pytest.raises(MaskError, match=r"holds pickled code, which is not run: save the model's"):
        read_mask(path)
    torch.save(mlp([3, 2]).state_dict(), path)
    whole = path.read_bytes()
    for length in (100, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(MaskError, match="is not a readable torch file") as caught:
            read_mask(path)
        assert "\n" not in str(caught.value)
    for content in ([1, 2], {"epoch": 3}, {"model": {}}, torch.ones(2)):
        torch.save(content, path)
        with pytest.raises(MaskError, match="holds no state dict"):
            read_mask(path)
    torch.save({"bias": torch.ones(3), "steps": torch.ones(2, 2, dtype=torch.int64)}, path)
    with pytest.raises(MaskError, match="has no weight of two or more dimensions"):
        read_mask(path)


def test_code_in_a_file_is_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Code:
        def __reduce__(self):
            return (type(ran).touch, (ran,))

    torch.save({"weight": torch.ones(2, 2), "code": Code()}, tmp_path / "file.pt")
    with pytest.raises(MaskError, match="holds pickled code"):
        read_mask(tmp_path / "file.pt")
    assert not ran.exists()
