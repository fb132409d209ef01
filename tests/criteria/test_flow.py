"""SynFlow by counting paths, and what its flow is in attention, norms and bent activations."""

import copy
import itertools

import pytest
import torch
from torch import nn

from bogp.criteria import Context, synflow
from bogp.criteria.flow import Flow
from bogp.masks import choose_layers, complete_mask
from bogp.training import gpt, initialise, resnet, vit


def score(model, inputs, names=None):
    mask = complete_mask(model, tuple(names or choose_layers(model, "all")))
    return synflow(Context(model, mask, inputs))


def seeded(make, seed=0):
    return initialise(make, seed).double()


def test_a_perceptron_by_all_of_its_paths():
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)))
    first, last = model[0].weight.detach().abs(), model[2].weight.detach().abs()
    wanted = [torch.zeros_like(first), torch.zeros_like(last)]
    for source, middle, sink in itertools.product(range(3), range(2), range(2)):
        product = first[middle, source] * last[sink, middle]
        wanted[0][middle, source] += product
        wanted[1][sink, middle] += product
    for found, expected in zip(score(model, torch.zeros(1, 3)).values(), wanted, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_convolution_by_all_of_its_paths():
    # Two groups, stride 2: each of 4 x 4 inputs that a kernel lies on, at each of 3 places.
    model = seeded(
        lambda: nn.Sequential(nn.Conv1d(2, 4, 2, stride=2, groups=2), nn.Flatten(), nn.Linear(8, 1))
    )
    kernel, last = model[0].weight.detach().abs(), model[2].weight.detach().abs().view(4, 2)
    # Each place of the kernel is used at both outputs; inputs are ones.
    wanted = kernel * last.sum(1)[:, None, None]
    scores = score(model, torch.zeros(1, 2, 4))
    torch.testing.assert_close(scores["0.weight"], wanted)
    passed = (kernel.sum((1, 2))[:, None] * last).view(1, 8)
    torch.testing.assert_close(scores["2.weight"], passed)


class Attending(nn.Module):
    """One head of attention, by torch's function, written out, or as torch's module."""

    def __init__(self, how, causal=False):
        super().__init__()
        self.how, self.causal = how, causal
        self.embed = nn.Linear(3, 4, bias=False)
        self.position = nn.Parameter(torch.rand(3, 4))
        self.q, self.k, self.v, self.o = (nn.Linear(4, 4) for _ in range(4))
        self.module = nn.MultiheadAttention(4, 1, batch_first=True)
        self.last = nn.Linear(4, 2)

    def forward(self, inputs):
        hidden = self.embed(inputs) + self.position
        later = torch.ones(3, 3, dtype=torch.bool).triu(1)
        if self.how == "module":
            options = {"attn_mask": later} if self.causal else {}
            return self.last(self.module(hidden, hidden, hidden, **options)[0])
        q, k, v = self.q(hidden), self.k(hidden), self.v(hidden)
        if self.how == "function":
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        else:
            match = q @ k.transpose(1, 2) / 2.0
            if self.causal:
                match = match.masked_fill(later, -torch.inf)
            mixed = match.softmax(-1) @ v
        return self.last(self.o(mixed))


NAMES = ("q.weight", "k.weight", "v.weight", "o.weight")


def by_hand(model, causal):
    """Scores of q, k, v, o, all biases zero: sums over triples of one product's factors."""
    w = {n: p.detach().abs() for n, p in model.named_parameters()}
    x = w["embed.weight"].sum(1) + w["position"]  # (3, 4)
    q, k, v = (x @ w[name].T for name in NAMES[:3])
    match = q @ k.T
    if causal:
        match = match.tril()
    share = match / match.sum(1, keepdim=True)
    out = w["last.weight"].sum(0)  # what one unit of the output's input is worth
    worth = out @ w["o.weight"]  # of the mixed values
    norm = match.sum(1, keepdim=True)
    by_match = (v @ worth)[None, :] / norm * (torch.ones(3, 3).double().tril() if causal else 1)
    slopes = {
        "q.weight": torch.einsum("ij,jd,ie->de", by_match, k, x),
        "k.weight": torch.einsum("ij,id,je->de", by_match, q, x),
        "v.weight": torch.einsum("ij,d,je->de", share, worth, x),
    }
    wanted = {name: w[name] * slope / 3 for name, slope in slopes.items()}
    return wanted | {"o.weight": w["o.weight"] * torch.einsum("d,ij,je->de", out, share, v)}


@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_hand(causal):
    model = seeded(lambda: Attending("function", causal))
    scores = score(model, torch.zeros(1, 3, 3), NAMES)
    for name, wanted in by_hand(model, causal).items():
        torch.testing.assert_close(scores[name], wanted)
        assert (wanted > 0).all()


@pytest.mark.parametrize("causal", [False, True])
def test_torchs_module_has_the_same_flow_as_its_function(causal):
    model = seeded(lambda: Attending("module", causal))
    with torch.no_grad():
        packed = model.module.in_proj_weight.chunk(3)
        for part, weight in zip((model.q, model.k, model.v), packed, strict=True):
            part.weight.copy_(weight)
        model.o.weight.copy_(model.module.out_proj.weight)
    names = ("module.in_proj_weight", "module.out_proj.weight", "embed.weight", "last.weight")
    scores = score(model, torch.zeros(1, 3, 3), names)
    other = copy.deepcopy(model)
    other.how = "function"
    wanted = score(other, torch.zeros(1, 3, 3), (*NAMES, *names[2:]))
    packed = torch.cat([wanted[name] for name in NAMES[:3]])
    torch.testing.assert_close(scores["module.in_proj_weight"], packed)
    torch.testing.assert_close(scores["module.out_proj.weight"], wanted["o.weight"])
    for name in names[2:]:
        torch.testing.assert_close(scores[name], wanted[name])


@pytest.mark.parametrize("causal", [False, True])
def test_attention_written_out_gives_each_factor_all_of_it(causal):
    model = seeded(lambda: Attending("written", causal))
    scores = score(model, torch.zeros(1, 3, 3), NAMES)
    for name, wanted in by_hand(model, causal).items():
        torch.testing.assert_close(scores[name], wanted * (1 if name == "o.weight" else 3))


def test_all_that_passes_attention_has_come_from_before():
    # The flow is conserved: who makes queries, keys and values gets what the output has.
    model = seeded(lambda: Attending("function"))
    with torch.no_grad():
        model.position.zero_()
    scores = score(model, torch.zeros(1, 3, 3), (*NAMES, "embed.weight", "last.weight"))
    total = scores["last.weight"].sum()
    for name in ("embed.weight", "o.weight"):
        torch.testing.assert_close(scores[name].sum(), total)
    for name in NAMES[:3]:
        torch.testing.assert_close(scores[name].sum(), total / 3)


def test_padding_heads_and_fewer_keys_than_queries():
    # Of one kind of mask or another; a float mask blocks with minus infinity.
    attention = seeded(lambda: nn.MultiheadAttention(4, 2, batch_first=True))
    for parameter in attention.parameters():
        parameter.data.abs_()
    inputs = torch.rand(2, 3, 4).double()
    padded = torch.tensor([[False, False, True], [False, False, False]])
    blocked = torch.zeros(3, 3).double().masked_fill(torch.ones(3, 3).triu(1).bool(), -torch.inf)
    with Flow():
        _, plain = attention(inputs, inputs, inputs, key_padding_mask=padded)
        _, causal = attention(inputs, inputs, inputs, attn_mask=blocked)
        alone, _ = attention(inputs[0], inputs[0], inputs[0], attn_mask=blocked)
        both, _ = attention(inputs, inputs, inputs, attn_mask=blocked)
        query = torch.rand(1, 4, 3, 2).double()
        key = torch.rand(1, 2, 5, 2).double()
        few = nn.functional.scaled_dot_product_attention(query, key, key, enable_gqa=True)
        many = key.repeat_interleave(2, 1)
        same = nn.functional.scaled_dot_product_attention(
            query, many, many, attn_mask=torch.zeros(3, 5).double(), dropout_p=0.5
        )
    assert not plain[0, :, 2].any()
    assert (plain[1] > 0).all()
    torch.testing.assert_close(plain.sum(-1), torch.ones(2, 3).double())
    assert not causal.triu(1).any()
    torch.testing.assert_close(alone, both[0])
    torch.testing.assert_close(few, same)


def test_queries_of_nothing_look_at_all_alike():
    with Flow():
        nothing = torch.zeros(2, 3).double()
        shares = nothing.softmax(-1)
        rows = torch.tensor([[1.0, 3.0, -torch.inf], [-torch.inf] * 3]).softmax(-1)
    assert torch.equal(shares, torch.full((2, 3), 1 / 3).double())
    assert rows.tolist() == [[0.25, 0.75, 0.0], [0.0, 0.0, 0.0]]


BENT = [
    *(nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.SiLU(inplace=True), nn.ReLU6(), nn.Hardswish()),
    *(nn.Softsign(), nn.Softplus(), nn.Mish(), nn.Hardsigmoid(), nn.Hardtanh(inplace=True)),
]


@pytest.mark.parametrize("bent", BENT, ids=lambda module: type(module).__name__)
def test_a_bent_activation_lets_through_what_comes_out_of_it(bent):
    def make():
        return nn.Sequential(nn.Linear(50, 40), bent, nn.Linear(40, 40), bent, nn.Linear(40, 3))

    scores = score(seeded(make), torch.zeros(1, 50))
    totals = torch.stack([each.sum() for each in scores.values()])
    torch.testing.assert_close(totals, totals[:1].expand(3))
    assert all((each > 0).all() for each in scores.values())
    model = seeded(make)
    first, middle, last = (model[k].weight.detach().abs() for k in (0, 2, 4))
    hidden = bent(middle @ bent(first.sum(1)))
    torch.testing.assert_close(scores["4.weight"], last * hidden)


@pytest.mark.parametrize(
    "norm",
    [
        *(nn.LayerNorm(6), nn.RMSNorm(6), nn.GroupNorm(2, 6), nn.LogSoftmax(1)),
        nn.BatchNorm1d(6, track_running_stats=False),
    ],
    ids=lambda module: type(module).__name__,
)
def test_norms_by_their_own_input_are_left_out(norm):
    def make(middle):
        return nn.Sequential(nn.Linear(4, 6), middle, nn.ReLU(), nn.Linear(6, 3))

    found = score(seeded(lambda: make(norm)), torch.zeros(1, 4))
    wanted = score(seeded(lambda: make(nn.Identity())), torch.zeros(1, 4))
    assert all(torch.equal(found[name], each) for name, each in wanted.items())


def test_batch_norm_scales_by_its_kept_statistics():
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)))
    with torch.no_grad():
        model[1].weight.copy_(torch.linspace(-3, 3, 6))
        model[1].running_var.fill_(4.0)
        model[1].running_mean.fill_(100.0)
        model[1].bias.fill_(100.0)
    scores = score(model, torch.zeros(1, 4))
    factor = model[1].weight.detach().abs() / (4.0 + 1e-5) ** 0.5
    first, last = model[0].weight.detach().abs(), model[2].weight.detach().abs()
    torch.testing.assert_close(scores["0.weight"], first * (factor * last.sum(0))[:, None])


class WrittenNorm(nn.Module):
    def forward(self, inputs):
        return inputs * torch.rsqrt(inputs.pow(2).mean(-1, keepdim=True) + 1e-6)


def test_a_root_mean_square_that_is_written_out_keeps_the_flow():
    def make():
        return nn.Sequential(nn.Linear(4, 6), WrittenNorm(), nn.Linear(6, 3))

    scores = score(seeded(make), torch.zeros(1, 4))
    torch.testing.assert_close(scores["0.weight"].sum(), scores["2.weight"].sum())
    assert (scores["0.weight"] > 0).all()


def test_an_embedding_is_a_linear_layer_of_indicators():
    words = seeded(lambda: nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(8, 3)))
    scores = score(words, torch.tensor([[3, 6]]), ("0.weight", "2.weight"))
    other = score(words, torch.tensor([[0, 0]]), ("0.weight", "2.weight"))
    table, last = words[0].weight.detach().abs(), words[2].weight.detach().abs()
    torch.testing.assert_close(scores["2.weight"], last * table.sum(0).repeat(2))
    worth = last.sum(0).view(2, 4).sum(0)
    torch.testing.assert_close(scores["0.weight"], table * worth)
    assert all(torch.equal(other[name], each) for name, each in scores.items())  # no data


class Waves(nn.Module):
    """Positions as a buffer of sines, some of them negative, and a float mask."""

    def __init__(self):
        super().__init__()
        self.register_buffer("waves", torch.sin(torch.arange(12.0)).view(3, 4))
        self.register_buffer("later", torch.full((3, 3), -torch.inf).triu(1))
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, inputs):
        hidden = self.first(inputs * 1e-3 + self.waves)[:, None]
        attend = nn.functional.scaled_dot_product_attention
        return self.last(attend(hidden, hidden, hidden, attn_mask=self.later))


def test_buffers_do_not_turn_flow_negative():
    scores = score(seeded(Waves), torch.zeros(1, 3, 4))
    assert all((each > 0).all() for each in scores.values())


ZOO = {
    "vit": lambda: vit((4, 4), 3, width=8, heads=2),
    "vit of one token": lambda: vit((4, 4), 3, width=8, heads=2, pool="token"),
    "vit, packed": lambda: vit((4, 4), 3, width=8, heads=2, attention="packed"),
    "gpt": lambda: gpt(6, 4, width=8, heads=2),
    "gpt, packed": lambda: gpt(6, 4, width=8, heads=2, attention="packed", tied=False),
    "resnet": lambda: resnet(8, (1, 8, 8), 3, width=4),
    "encoder": lambda: nn.Sequential(
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2),
        nn.Linear(4, 3),
    ),
}


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_layer_of_every_kind_of_network_carries_flow(name):
    model = seeded(ZOO[name], 1)
    inputs = torch.zeros(1, 4, dtype=torch.long) if "gpt" in name else torch.zeros(1, 4, 4)
    inputs = torch.zeros(1, 1, 8, 8) if name == "resnet" else inputs
    scores = score(model, inputs)
    assert all(bool(each.isfinite().all()) for each in scores.values())
    assert all((each >= 0).all() for each in scores.values())
    # A query of a position of zeros alone is nothing; nearly all weights carry flow.
    assert all((each > 0).double().mean() > 0.9 for each in scores.values())


def test_frozen_layers_take_no_shortcut():
    # In evaluation mode torch has one for whole encoder layers, without what the flow is read by.
    model = seeded(ZOO["encoder"], 1)
    wanted = score(model, torch.zeros(1, 4, 4))["1.weight"]
    model[0].requires_grad_(False)
    found = score(model.eval(), torch.zeros(1, 4, 4), ("1.weight",))["1.weight"]
    assert torch.equal(found, wanted)


def test_outside_of_the_flow_functions_are_what_they_are():
    inputs = torch.linspace(-2, 2, 5)
    with Flow():
        assert torch.equal(torch.relu(inputs), inputs.clamp(min=0))
        assert torch.equal(nn.functional.layer_norm(input=inputs, normalized_shape=(5,)), inputs)
    assert abs(float(inputs.softmax(0).sum()) - 1) < 1e-6
    assert float(nn.functional.layer_norm(inputs, (5,)).var()) > 1
