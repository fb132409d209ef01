"""bogp.prune with masks that move: inside a support, in blocks, in one training, with evidence."""

import pytest
import torch

import bogp
from bogp.analysis.block_wiring import block_wiring
from bogp.controls import CONTROLS
from bogp.errors import BogpError, GraphError, SettingError, SparsityError
from bogp.graphs import mask_to_graph
from bogp.pipeline import analyze
from bogp.pipeline.pruned_model import stored_blocks
from bogp.sparsify import drawn_support, support_mask
from bogp.training import initialise

QUICK = bogp.Recipe(learning_rate=0.02, batch_size=32, epochs=2)
RING = bogp.DrawnGraph("ring_lattice", nodes=4, density=0.75)


def points(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    return 2.0 * torch.eye(3, 16)[targets] + torch.randn(count, 16, generator=generator), targets


TRAIN, VAL = points(128, 0), points(60, 1)


def make() -> torch.nn.Module:
    return bogp.mlp([16, 16, 16, 3])


def run(model=make, **changes):
    settings = {"sparsity": 0.6, "final_seeds": 1, "recipe": QUICK, "every": 2}
    return bogp.prune(model, TRAIN, VAL, **settings | changes)


@pytest.fixture(scope="module")
def found():
    return run(method="gradual", granularity="block", block=4, support={"first": RING})


def test_it_is_one_training_and_every_row_has_its_epochs(found):
    assert {entry.epochs for entry in found.found.comparisons} == {2}
    assert "blocks of 4 channels" in found.record()["how"]
    assert found.record()["how"].endswith("inside first=ring_lattice:nodes=4,density=0.75")
    beside = found.summary()[2]
    assert "epochs a seed" in beside.headings
    rows = dict(zip(*(list(zip(*found.summary()[0].texts(), strict=True))), strict=True))
    assert rows["epochs a seed, pruned and dense"] == "2 and 2"


def test_the_mask_is_of_whole_blocks_inside_the_graph_of_its_seed(found):
    for name, grid in (("1.weight", (4, 4)), ("3.weight", (4, 4)), ("5.weight", (1, 4))):
        assert block_wiring(found.mask[name], grid).filled in (1.0, None)
    before = found.found.before
    assert not (found.mask["1.weight"] & ~before["1.weight"]).any()
    ring = mask_to_graph(before["1.weight"], 4)
    assert ring.edges == 4
    assert before["3.weight"].all()


def test_controls_stand_beside_it_and_whole_masks_stay(found):
    names = {entry.name for entry in found.found.comparisons} | set(found.found.left_out)
    assert names == {"narrower network", *CONTROLS}


def test_the_page_and_the_file_show_the_wiring(found, tmp_path):
    page = found.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.index("<h2") < page.index("Blocks between nodes")
    assert "1.weight before" in page
    assert "1.weight after" in page
    file = found.save(tmp_path / "pruned.safetensors")
    assert stored_blocks(file) == bogp.Granularity("block", 4)
    shown = analyze(file, block=stored_blocks(file)).layers
    assert [layer.wiring.kept.shape for layer in shown] == [(4, 4), (4, 4), (1, 4)]
    assert stored_blocks(bogp.save_mask(found.mask, tmp_path / "mask.safetensors")) is None


@pytest.mark.parametrize(
    ("method", "changes", "left_out"),
    [
        ("rigl", {}, "what the mask drops and grows decides it"),
        ("gradual", {"granularity": "channel"}, "the squares of their scores"),
    ],
)
def test_inverted_scores_are_left_out_where_they_say_nothing(method, changes, left_out):
    found = run(method=method, **changes).found
    assert left_out in found.left_out["inverted scores"]
    assert (found.before is None) == (method == "gradual")


def test_fine_tuning_begins_with_the_weights_at_hand():
    model = initialise(make, 5)
    given = {name: value.clone() for name, value in model.state_dict().items()}
    still = bogp.Recipe(learning_rate=1e-9, batch_size=32, epochs=2, optimizer="sgd")
    result = run(model, method="gradual", recipe=still, controls=False)
    for name, layer in result.mask.items():
        assert torch.allclose(
            result.model.get_parameter(name)[layer], given[name][layer], atol=1e-6
        )
    largest = torch.cat([given[name].abs().flatten() for name in result.mask]).sort().values
    kept = torch.cat([given[name][layer].abs() for name, layer in result.mask.items()])
    assert kept.min() >= largest[-result.mask.kept] - 1e-6


def test_each_seed_draws_its_own_graph():
    drawn = bogp.DrawnGraph("uniform", nodes=8, density=0.5)
    runs = run(method="gradual", support=drawn, controls=False, final_seeds=2).found
    masks = {one.mask for one in runs.runs if one.name == "winner"}
    assert len(masks) == 2
    bounds = [
        support_mask(drawn_support(drawn, tuple(runs.mask), seed), make(), tuple(runs.mask))
        for seed in range(2)
    ]
    assert bounds[0] != bounds[1]


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"method": "gradual", "block": 99}, GraphError, "no layer has two nodes of 99 channels"),
        ({"method": "snip"}, SettingError, "every = 2: the mask of this method does not move"),
        ({"every": None, "support": RING}, SettingError, "support is of a method that prunes"),
        ({"every": None, "block": 4}, SettingError, "block = 4 is of a method that prunes"),
        (
            {
                "method": "gradual",
                "layers": "hidden",
                "support": "ring_lattice:nodes=4,density=0.3",
            },
            SparsityError,
            "sparsity 0.6 keeps 205: take a denser support",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_there_is_a_study(changes, kind, sentence, tmp_path):
    with pytest.raises(kind, match=sentence) as caught:
        run(study=tmp_path / "study.db", **changes)
    assert isinstance(caught.value, BogpError)
    assert not (tmp_path / "study.db").exists()
