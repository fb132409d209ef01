import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from bogp import outside
from bogp.errors import MaskError
from bogp.export.sparse import load_sparse, save_sparse
from bogp.masks import Mask, load_mask, load_model, load_state, read_mask, save_mask, save_model
from bogp.masks.tensors import read_safetensors, write_safetensors
from bogp.training import initialise, mlp


@pytest.fixture
def pruned():
    model = initialise(lambda: mlp([6, 8, 3]), 1)
    generator = torch.Generator().manual_seed(0)
    mask = Mask(
        {
            name: torch.rand(weight.shape, generator=generator) < 0.4
            for name, weight in model.named_parameters()
            if weight.dim() == 2
        }
    )
    mask.apply(model)
    return model, mask


FILES = {
    "mask": (lambda model, mask, path: save_mask(mask, path), lambda model, path: load_mask(path)),
    "model": (save_model, load_model),
    "state": (save_model, load_state),
    "read": (save_model, lambda model, path: read_mask(path)),
    "sparse": (save_sparse, load_sparse),
}


def shown(found):
    """Return what was read as a value that can be compared."""
    parts = found if isinstance(found, tuple) else (found,)
    states = [part.state_dict() if isinstance(part, torch.nn.Module) else part for part in parts]
    return [{name: tensor.tolist() for name, tensor in state.items()} for state in states]


@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_is_noticed_or_changes_nothing(pruned, tmp_path, kind):
    save, load = FILES[kind]
    model, mask = pruned
    path = save(model, mask, tmp_path / "file")
    whole, before = path.read_bytes(), shown(load(model, path))
    rng, said = np.random.default_rng(3), []
    for place in rng.integers(8 * len(whole), size=60).tolist():
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert shown(load(model, path)) == before
        except MaskError as error:
            said.append(str(error))
    assert all(str(path) in sentence for sentence in said)
    assert len(said) > 50


@pytest.mark.parametrize(
    ("note", "value"),
    [
        ("layers", "5"),
        ("layers", "[1]"),
        ("layers", '{"a":' * 5000 + "1" + "}" * 5000),
        ("tied", "5"),
        ("tied", '{"x": 3}'),
        ("tied", '{"x": "nowhere"}'),
    ],
)
def test_notes_of_another_type_are_refused(pruned, tmp_path, note, value):
    model, mask = pruned
    path = save_model(model, mask, tmp_path / "file")
    tensors, notes = read_safetensors(path)
    write_safetensors(path, tensors, notes | {note: value})
    with pytest.raises(MaskError, match="are not those that it was saved with"):
        load_model(model, path)


def test_a_shape_is_compared_with_the_models_before_there_is_room_for_it(pruned, tmp_path):
    model, mask = pruned
    path = save_sparse(model, mask, tmp_path / "file")
    tensors, notes = read_safetensors(path)
    name = next(iter(json.loads(notes["shapes"])))
    for shapes in ({name: [10**9, 10**9]}, {name: "x"}, {"none": [2]}, 5):
        write_safetensors(path, tensors, notes | {"shapes": json.dumps(shapes)})
        with pytest.raises(MaskError, match="is not the sparse file of this model"):
            load_sparse(model, path)


def test_a_header_that_is_longer_than_the_file_is_refused(tmp_path):
    path = tmp_path / "file"
    for length in (2**62, 2**31, 10**6):
        path.write_bytes(length.to_bytes(8, "little") + b"{" + b" " * 50)
        with pytest.raises(MaskError, match="is not a readable safetensors file"):
            read_mask(path)
    header = b'{"a":' * 5000 + b"1" + b"}" * 5000
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(MaskError, match="is not a readable safetensors file"):
        read_mask(path)
    header = b'{"w":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(MaskError, match="is not a readable safetensors file"):
        read_mask(path)


class Hostile:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_hostile_torch_file_is_answered_in_our_own_words(tmp_path, legacy, capsys):
    path = tmp_path / "file.pt"
    content = {"weight": torch.ones(2, 2), "more": Hostile()}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    contents = [path.read_bytes(), pickle.dumps(Hostile()), b"\x80\x02cos\nsystem\n."]
    for data in contents:
        path.write_bytes(data)
        with pytest.raises(MaskError, match="is damaged or holds pickled code") as caught:
            read_mask(path)
        assert "weights_only" not in str(caught.value)
        assert "trust" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_torch_file_that_would_unfold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(outside, "UNFOLDED_BYTES", 1 << 20)
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data/0", bytes(1 << 23))
    with pytest.raises(MaskError, match="would unfold to"):
        read_mask(path)
