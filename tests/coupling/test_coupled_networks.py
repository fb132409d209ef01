"""Networks whose channels left: the masked one is the one from which they are really removed."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from coupled_models import inputs, names, pruned, zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bogp.coupling import channel_units, couplings, normalise_over_kept
from bogp.coupling.norms import is_over_kept
from bogp.coupling.opened import OpenAttention, pack_attention
from bogp.export import compact
from bogp.masks import Mask, complete_mask

seeds = st.integers(0, 10_000)

MODELS: list[tuple[str, tuple[int, ...]]] = [
    ("mlp:12,9,12", (4, 4)),
    ("lenet-5", (28, 28)),
    ("resnet-8:width=8", (8, 8)),
    ("resnet-20:width=4", (8, 8)),
    ("vit:width=16,heads=2", (8, 8)),
    ("vit:width=16,heads=4,pool=token", (8, 8)),
    ("gpt:width=16,heads=2", (8,)),
    ("vit:width=16,heads=2,attention=packed", (8, 8)),
    ("gpt:width=16,heads=4,attention=packed", (8,)),
]


@pytest.mark.parametrize(("spec", "shape"), MODELS)
@given(seed=seeds, share=st.floats(0.05, 0.9), scope=st.sampled_from(["global", "uniform"]))
@settings(max_examples=4)
def test_the_masked_network_is_the_one_without_the_channels(
    spec: str, shape: tuple[int, ...], seed: int, share: float, scope: str
) -> None:
    model, example = zoo(spec, shape, seed), inputs(spec, shape, seed)
    whole = pruned(model, example, share, scope, seed)
    found = compact(model, example, whole)  # compares the outputs
    assert found.difference < 1e-5
    for name, kept in opened_parts(found.model, whole).items():
        widths = [
            int(kept.movedim(axis, 0).reshape(size, -1).any(1).sum())
            for axis, size in enumerate(kept.shape)
        ]
        assert list(found.model.get_parameter(name).shape) == widths, name
    assert not any(module._forward_hooks for module in found.model.modules())
    assert compact(found.model, example).removed == {}


def opened_parts(model: nn.Module, whole: Mask) -> dict[str, Tensor]:
    """Return the mask's layers by the names that attention has where it is opened."""
    found: dict[str, Tensor] = {}
    for name, kept in whole.items():
        path, _, own = name.rpartition(".")
        if own.startswith("in_proj"):
            if isinstance(model.get_submodule(path), OpenAttention):
                for part, rows in zip("qkv", kept.chunk(3), strict=True):
                    found[f"{path}.{part}.{own[8:]}"] = rows
        elif path.endswith("out_proj"):
            if isinstance(model.get_submodule(path[:-9]), OpenAttention):
                found[f"{path[:-8]}o.{own}"] = kept
        else:
            found[name] = kept
    return found


@pytest.mark.parametrize(("spec", "shape"), [MODELS[1], MODELS[2], MODELS[6], MODELS[7]])
@pytest.mark.parametrize("multiple", [1, 8])
def test_the_mask_of_what_is_left(spec: str, shape: tuple[int, ...], multiple: int) -> None:
    """Channels leave first and weights after them; where widths allow it attention is packed."""
    model, example = zoo(spec, shape, 2), inputs(spec, shape, 2)
    whole = pruned(model, example, 0.35, "uniform", 2, multiple)
    generator = torch.Generator().manual_seed(0)
    free = {
        name: kept & ((torch.rand(kept.shape, generator=generator) < 0.8) | (kept.ndim == 1))
        for name, kept in whole.items()
    }
    found = compact(model, example, Mask(free))
    assert found.mask is not None
    for name in names(found.model):
        assert torch.equal(found.mask[name], found.model.get_parameter(name) != 0), name
    assert found.mask.density < 0.95
    again = compact(found.model, example, found.mask)
    assert again.difference < 1e-6


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_attention_opened_is_attention_packed(batch_first: bool, biased: bool) -> None:
    packed = nn.MultiheadAttention(8, 2, bias=biased, batch_first=batch_first).eval()
    nn.init.normal_(packed.out_proj.weight)
    opened, x = OpenAttention(packed), torch.randn(3, 5, 8)
    n, t = (3, 5) if batch_first else (5, 3)
    padding = torch.arange(t).expand(n, t) == 0
    for masks in (
        {},
        {"attn_mask": torch.ones(t, t, dtype=torch.bool).triu(1)},
        {"key_padding_mask": padding},
        {
            "attn_mask": torch.randn(2 * n, t, t),
            "key_padding_mask": torch.zeros(n, t).masked_fill(padding, float("-inf")),
        },
    ):
        expected, _ = packed(x, x, x, need_weights=False, **masks)
        torch.testing.assert_close(opened(x, x, x, need_weights=False, **masks)[0], expected)
    again = pack_attention(opened)
    assert isinstance(again, nn.MultiheadAttention)
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in packed.state_dict().items())


def test_attention_is_packed_again_where_its_widths_allow_it() -> None:
    spec, shape = "vit:width=16,heads=2,attention=packed", (8, 8)
    model, example = zoo(spec, shape, 0), inputs(spec, shape, 0)
    small = compact(model, example, pruned(model, example, 0.35, "uniform", 0, multiple=8)).model
    widths = {
        tuple(module.in_proj_weight.shape)
        for module in small.modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    assert widths == {(24, 8)}


@pytest.mark.parametrize(("spec", "shape"), [MODELS[2], MODELS[4], MODELS[6]])
def test_the_smaller_network_trains_and_keeps_its_classes(
    spec: str, shape: tuple[int, ...]
) -> None:
    model, example = zoo(spec, shape, 1), inputs(spec, shape, 1)
    small = compact(model, example, pruned(model, example, 0.3, "uniform", 1)).model.train()
    kinds = [type(module) for module in model.modules() if not list(module.children())]
    used = [type(module) for module in small.modules() if not list(module.children())]
    assert sorted(map(str, used)) == sorted(str(kind) for kind in kinds)
    if spec.startswith("gpt"):
        assert small.head.weight is small.token.weight
    before = [parameter.detach().clone() for parameter in small.parameters()]
    optimiser = torch.optim.SGD(small.parameters(), 0.1)
    small(example).square().mean().backward()
    optimiser.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, small.parameters(), strict=True)]
    assert sum(moved) > 0.8 * len(moved)


def test_widths_of_heads_and_streams_are_held_to_multiples() -> None:
    spec, shape = "vit:width=32,heads=2", (8, 8)
    model, example = zoo(spec, shape, 0), inputs(spec, shape, 0)
    small = compact(model, example, pruned(model, example, 0.3, "uniform", 0, multiple=8)).model
    widths = {parameter.shape[0] for parameter in small.parameters() if parameter.ndim == 1}
    assert {width % 8 for width in widths - {10}} == {0}
    assert small.norm.normalized_shape[0] < 32


def test_queries_and_keys_of_two_heads_worked_out_by_hand() -> None:
    class Attends(nn.Module):
        """Two heads of two channels over features that stay."""

        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(3, 4, bias=False) for _ in range(3))
            self.o = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (part(x).unflatten(-1, (2, -1)).transpose(1, 2) for part in self.parts())
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            out: Tensor = self.o(mixed.transpose(1, 2).flatten(2))
            return out

        def parts(self) -> tuple[nn.Module, ...]:
            return self.q, self.k, self.v

    torch.manual_seed(0)
    model, example = Attends(), torch.randn(2, 5, 3)
    found = couplings(model, example).groups
    assert [[(m.parameter, m.axis, m.role) for m in group.members] for group in found] == [
        [("q.weight", 0, "makes"), ("k.weight", 0, "reads")],
        [("v.weight", 0, "makes"), ("o.weight", 1, "reads")],
    ]
    assert [group.parts for group in found] == [2, 2]
    units = channel_units(model, names(model), example)
    support = complete_mask(model, names(model))
    scores = {name: torch.ones(layer.shape) for name, layer in support.items()}
    # The best two of four are of one head, but each head keeps one: channels 1 and 2.
    scores["q.weight"] *= torch.tensor([[3.0], [4.0], [2.0], [1.0]])
    mask = units.choose(scores, 24, scope="uniform", support=support, seed=0)
    assert mask["k.weight"].any(1).tolist() == [False, True, True, False]
    masked = copy.deepcopy(model)
    mask.apply(masked)
    small = compact(model, example, mask).model
    # torch divides by the root of 1 instead of 2, which the queries make up for.
    torch.testing.assert_close(small.q.weight, masked.q.weight[[1, 2]] / 2**0.5)
    torch.testing.assert_close(small.k.weight, masked.k.weight[[1, 2]])


def test_a_layer_norm_over_what_is_kept_is_the_narrow_one() -> None:
    torch.manual_seed(0)
    wide, x = nn.LayerNorm(6), torch.randn(4, 6)
    kept = torch.tensor([True, False, True, True, False, True])
    with torch.no_grad():
        wide.weight.uniform_(0.5, 2.0)
        wide.bias.uniform_()
    torch_s = wide(x)
    narrow = nn.LayerNorm(4)
    narrow.load_state_dict({name: value[kept] for name, value in wide.state_dict().items()})
    normalise_over_kept(wide)
    normalise_over_kept(wide)
    assert len(wide._forward_hooks) == 1
    torch.testing.assert_close(wide(x), torch_s)
    wide.weight.data[~kept] = 0.0
    for norm in (wide, copy.deepcopy(wide), pickle.loads(pickle.dumps(wide))):
        torch.testing.assert_close(norm(x)[:, kept], narrow(x[:, kept]))
    # Stacked parameters, as populations have them, and gradients that stop at what is gone.
    stacked = {name: torch.stack([value, 2 * value]) for name, value in wide.named_parameters()}
    outputs = torch.vmap(lambda own: torch.func.functional_call(wide, own, (x,)))(stacked)
    torch.testing.assert_close(outputs[1], 2 * wide(x))
    x.requires_grad_(True)
    wide(x).square().sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad.any(0), kept)


def test_compaction_believes_a_layer_norm_that_is_not_told() -> None:
    """Without the hook torch's statistics are over all channels, and none of them can go."""
    model = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.Linear(6, 2)).eval()
    model[1].weight.data[2] = model[2].weight.data[:, 2] = 0.0
    assert compact(model, torch.randn(2, 3)).removed == {}
    normalise_over_kept(model)
    small = compact(model, torch.randn(2, 3)).model
    assert small[1].normalized_shape == (5,)
    assert not is_over_kept(small[1])


@given(seed=seeds, groups=st.sampled_from([1, 2, 4]))
@settings(max_examples=6)
def test_grouped_convolutions_and_group_norms_lose_the_same_in_every_group(
    seed: int, groups: int
) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1, groups=groups),
        nn.InstanceNorm2d(16, affine=True),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.Conv2d(16, 3, 1),
    ).eval()
    example = torch.randn(2, 2, 6, 6)
    whole = pruned(model, example, 0.3, "uniform", seed)
    found = compact(model, example, whole)
    assert found.model[3].groups == groups
    assert found.model[6].groups == found.model[6].out_channels < 16
    kept = {name: int(layer.sum()) for name, layer in whole.items()}
    assert {name: found.model.get_parameter(name).numel() for name in kept} == kept
