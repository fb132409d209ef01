"""Verdicts on records that are made up, with an effect of known size planted in them."""

import dataclasses
import types

import numpy as np
import pytest

from bogp.analysis import Interval
from bogp.graphs import CANDIDATES, PAPER_FIVE, properties
from bogp.replication import claims, plan
from bogp.replication.setup import Inputs, Run
from bogp.replication.tables import (
    PAPER_DENSE,
    PAPER_TABLE1,
    TABLE1,
    table1,
    table1_long,
    table1_values,
    table2,
    tradeoff_points,
    variances,
)
from bogp.report import PAPER_TABLE2


def run_of(setup, dataset, records, database=None):
    return Run(
        setup, Inputs({setup.data: dataset}, database), {str(k): r for k, r in enumerate(records)}
    )


def searched(accuracy, *, finals=None, **fields):
    shared = {"engine": "paper", "layers": "hidden", "metric": "cosine", "alpha": None, "seed": 0}
    result = {"accuracy": accuracy, "finals": [accuracy] if finals is None else finals}
    sparsity = fields.get("sparsity")
    return {
        "kind": "search",
        "fields": shared | fields,
        "result": {"sparsity": sparsity} | result | fields.pop("result", {}),
    }


def pruned(accuracy, **fields):
    return {"kind": "method", "fields": fields, "result": {"accuracy": accuracy}}


def noise(count, seed=0):
    """Return ``count`` numbers of mean 0 and SD 1, exactly."""
    drawn = np.random.default_rng(seed).normal(size=count)
    return (drawn - drawn.mean()) / drawn.std(ddof=1)


WORDS = ("holds", "does not hold", "inconclusive")


def words(found):
    return [verdict.holds for verdict in found]


# The paper's numbers --------------------------------------------------------------------------


def test_the_papers_numbers_are_the_papers():
    assert PAPER_DENSE == 0.970
    assert PAPER_TABLE1["bogp"] == {
        0.15: 0.972,
        0.30: 0.972,
        0.45: 0.970,
        0.60: 0.968,
        0.75: 0.966,
        0.90: 0.951,
    }
    assert list(PAPER_TABLE1["glob1"].values()) == [0.971, 0.970, 0.970, 0.967, 0.965, 0.945]
    assert list(PAPER_TABLE1["glob5"].values()) == [0.972, 0.972, 0.971, 0.970, 0.966, 0.962]
    assert list(PAPER_TABLE1["unif1"].values()) == [0.970, 0.970, 0.969, 0.966, 0.963, 0.810]
    assert list(PAPER_TABLE1["unif5"].values()) == [0.972, 0.972, 0.971, 0.970, 0.965, 0.950]
    alpha, accuracy, sparsity = zip(*PAPER_TABLE2, strict=True)
    assert alpha == (0.1, 0.15, 0.25, 0.5, 0.75, 0.9)
    assert accuracy == (0.90, 0.88, 0.82, 0.37, 0.36, 0.25)
    assert sparsity == (0.73, 0.76, 0.79, 0.93, 0.94, 0.98)


# Tables ---------------------------------------------------------------------------------------


@pytest.fixture
def tabled(small, blank):
    """Table 1 of two seeds, each method at an accuracy of its own; seeds are stored backwards."""
    setup = dataclasses.replace(small, seeds=2, sparsities=(0.15, 0.75))
    records = []
    for seed in (1, 0):
        shift = 0.002 * seed
        records.append(pruned(0.97 + shift, name="dense", layers="hidden", seed=seed))
        for layers in ("hidden", "all"):
            for number, name in enumerate(("glob1", "glob5", "unif1", "unif5")):
                if layers == "all" or name.startswith("glob"):
                    records += [
                        pruned(
                            0.9 + 0.01 * number + shift - s / 100,
                            name=name,
                            layers=layers,
                            sparsity=s,
                            seed=seed,
                        )
                        for s in setup.sparsities
                    ]
            for engine, base in (("paper", 0.96), ("random", 0.95)):
                records += [
                    searched(
                        base + shift,
                        finals=[base - 0.02, base],
                        engine=engine,
                        layers=layers,
                        sparsity=s,
                        seed=seed,
                    )
                    for s in setup.sparsities
                ]
        # These are of other tables and must not be counted in table 1:
        records.append(searched(0.1, sparsity=0.75, metric="l1", seed=seed))
        records.append(searched(0.2, alpha=0.5, seed=seed))
    return run_of(setup, blank, records)


def test_a_cell_of_table_1_is_its_runs_by_seed(tabled):
    assert table1_values(tabled, "bogp", "hidden", 0.75) == pytest.approx([0.96, 0.962])
    assert table1_values(tabled, "bogp fresh", "all", 0.15) == pytest.approx([0.95, 0.95])
    assert table1_values(tabled, "random", "all", 0.75) == pytest.approx([0.95, 0.952])
    assert table1_values(tabled, "unif5", "all", 0.75) == pytest.approx([0.9225, 0.9245])
    # With one layer to prune Unif is Glob.
    assert table1_values(tabled, "unif5", "hidden", 0.75) == pytest.approx([0.9025, 0.9045])
    assert table1_values(tabled, "glob1", "hidden", 0.3) == []


def test_table_1_sets_the_papers_figure_before_ours(tabled):
    shown = table1(tabled, "all")
    assert list(shown.columns) == ["method", "s = 0.15", "s = 0.75"]
    rows = {row[0]: row[1:] for row in shown.rows}
    # t interval of 0.960 and 0.962: half-width 12.706 · 0.001.
    assert rows[TABLE1["bogp"].label] == ("0.972 → 0.961 ± 0.013", "0.966 → 0.961 ± 0.013")
    assert rows[TABLE1["random"].label][0] == "0.951 ± 0.013"
    assert rows["dense (s = 0)"] == ("0.970 → 0.971 ± 0.013", None)
    assert len(rows) == 1 + len(TABLE1)
    assert any("test images selected" in note for note in shown.notes)


def test_every_cell_is_a_row_of_the_csv(tabled):
    rows = {tuple(row[:3]): row[3:] for row in table1_long(tabled).rows}
    assert len(rows) == 1 + 2 * len(TABLE1) * 2
    paper, ours = rows["unif1", "all", 0.75]
    assert paper == 0.963
    assert ours.estimate == pytest.approx(0.9135)


def test_table_2_has_the_winners_on_fresh_seeds(small, blank):
    records = [
        searched(0.99, finals=[0.5 + a / 10], alpha=a, seed=seed, result={"sparsity": a})
        for a in (0.1, 0.5)
        for seed in (0, 1)
    ]
    run = run_of(small, blank, records, types.SimpleNamespace(sparsities=(0.1,)))
    points = tradeoff_points(run)
    assert [(p.alpha, p.accuracy.estimate, p.sparsity.estimate) for p in points] == [
        (0.1, pytest.approx(0.51), 0.1),
        (0.5, pytest.approx(0.55), 0.5),
    ]
    assert table2(run).rows[0][:2] == ("0.1", 0.90)
    assert table2(run).rows[1][3] == 0.93


# Claims ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("between", "within", "word"), [(3, 1, 0), (0.1, 1, 1), (1, 1, 2)])
def test_variance_between_graphs(small, inputs, between, within, word):
    graphs = between * noise(small.variance_graphs)
    records = {}
    for _, families, sparsity in plan.variance_cases(small):
        rows = plan.variance_case_jobs(small, inputs, families, sparsity)
        for number, row in enumerate(rows):
            for job, error in zip(row, within * noise(small.seeds, number + 1), strict=True):
                accuracy = 0.9 + 0.01 * (graphs[number] + error)
                records[job.key] = {"kind": "graph", "result": {"accuracy": accuracy}}
    found = claims.accuracy_varies(Run(small, inputs, records))
    assert words(found) == [WORDS[word]] * 3
    assert f"between seeds {within:.2f} pp" in found[0].statistic


def test_a_comparison_of_variances_half_run_says_nothing(small, inputs):
    job = plan.variance_jobs(small, inputs)[0]
    run = Run(small, inputs, {job.key: {"kind": "graph", "result": {"accuracy": 0.9}}})
    assert variances(run) == {}
    assert claims.accuracy_varies(run) == []


@pytest.mark.parametrize(("gain", "word"), [(0.01, 0), (-0.01, 1), (0.0001, 2)])
def test_optimisation_against_random_masks(small, blank, gain, word):
    """The verdict rests on fresh seeds: the best of the trials is given the other sign."""
    records = []
    for layers in ("hidden", "all"):
        for sparsity in small.sparsities:
            for seed, error in enumerate(0.002 * noise(5, seed=int(100 * sparsity))):
                cell = {"layers": layers, "sparsity": sparsity, "seed": seed}
                records.append(searched(0.9, finals=[0.9 + gain + error], **cell))
                records.append(searched(0.99, finals=[0.9], engine="random", **cell))
    found = claims.beats_random(run_of(small, blank, records))
    assert words(found) == [WORDS[word]] * 2
    assert "Paired over 10" in found[0].detail
    assert f"fresh seeds {100 * gain:+.2f} pp" in found[0].statistic


@pytest.mark.parametrize(("gain", "word"), [(0.01, 0), (-0.01, 1), (0.0001, 2)])
def test_cosine_against_the_other_distances(small, blank, gain, word):
    records = []
    for sparsity in small.sparsities:
        for seed, error in enumerate(0.002 * noise(5, seed=int(100 * sparsity))):
            for metric, mean in (("cosine", 0.9 + gain), ("l1", 0.9), ("l2", 0.9 + 2 * gain)):
                final = mean + (error if metric == "cosine" else 0)
                cell = {"metric": metric, "sparsity": sparsity, "seed": seed}
                records.append(searched(0.5, finals=[final], **cell))
    opposite = (1, 0, 2)[word]
    found = claims.cosine_beats(run_of(small, blank, records))
    assert words(found) == [WORDS[word], WORDS[opposite]]


SHAPES = {
    "rising": (lambda x: x, "holds"),
    "falling": (lambda x: -x, "holds"),
    "hump": (lambda x: -((x - 0.45) ** 2), "does not hold"),
    # Correlated (rho 0.7), but a monotonic curve explains 71 % only:
    "wave": (lambda x: x + 0.5 * np.sin(20 * x), "does not hold"),
    # One graph apart, the others alike: a monotonic curve explains all of it, rho is near 0:
    "spike": (lambda x: x == 1, "inconclusive"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_monotonic_in_clustering(small, blank, shape):
    curve, word = SHAPES[shape]
    graphs = np.stack([graph.adjacency for graph in plan.five_node_graphs()])
    clustering = properties(graphs, ("clustering",))["clustering"]
    records = [
        {
            "kind": "network",
            "fields": {"atlas": number, "seed": seed},
            "result": {"accuracy": 0.8 + 0.1 * float(curve(clustering[number])) + error},
        }
        for number in range(21)
        for seed, error in enumerate(1e-4 * noise(3, number))
    ]
    first = claims.monotonic(run_of(small, blank, records))[0]
    assert first.claim.endswith("clustering")
    assert first.holds == word


def test_monotonic_needs_a_correlation(small, blank):
    """Noise alone may look monotonic by luck, but is never called so."""
    for luck in range(5):
        records = [
            {
                "kind": "network",
                "fields": {"atlas": number, "seed": 0},
                "result": {"accuracy": 0.9 + 0.01 * float(error)},
            }
            for number, error in enumerate(noise(21, luck))
        ]
        run = run_of(dataclasses.replace(small, figure_seeds=1), blank, records)
        assert words(claims.monotonic(run))[0] != "holds"
    assert claims.monotonic(run_of(small, blank, records[:-1])) == []


@pytest.mark.parametrize(
    ("gaps", "par", "best"),
    [
        ((0.01, 0.02), "holds", ("holds", "holds")),
        ((-0.001, 0.01), "holds", ("does not hold", "holds")),
        ((0.0005, 0.01), "holds", ("inconclusive", "holds")),
        ((0.01, -0.02), "does not hold", ("holds", "does not hold")),
        ((0.01, -0.005), "inconclusive", ("holds", "does not hold")),
    ],
)
def test_against_the_best_baseline(small, blank, gaps, par, best):
    setup = dataclasses.replace(small, readings=("all",))
    records = []
    for sparsity, gap in zip(setup.sparsities, gaps, strict=True):
        for seed, error in enumerate(0.001 * noise(5, seed=int(100 * sparsity))):
            cell = {"layers": "all", "sparsity": sparsity, "seed": seed}
            records.append(searched(0.99, finals=[0.9 + gap + error], **cell))
            for name, accuracy in (("glob1", 0.8), ("glob5", 0.85), ("unif1", 0.7), ("unif5", 0.9)):
                records.append(pruned(accuracy, name=name, **cell))
    found = claims.against_baselines(run_of(setup, blank, records))
    assert words(found) == [par, *best, "holds"]
    assert "(one round)" in found[-1].claim
    assert [v.claim.split(" (")[0] for v in found[1:3]] == [
        "BoGP is the best method at s = 0.15",
        "BoGP is the best method at s = 0.75",
    ]
    assert "against unif5" in found[1].statistic


@pytest.mark.parametrize(("slope", "fall", "word"), [(1, -1, 0), (-1, 1, 1), (0, 0, 2), (1, 1, 1)])
def test_alpha_trades_accuracy_for_sparsity(small, blank, slope, fall, word):
    records = []
    for number, alpha in enumerate(small.alphas):
        for seed in range(5):
            wave = float(np.sin(7 * number + 11 * seed))
            records.append(
                searched(
                    0.5,
                    finals=[0.8 + 0.1 * fall * alpha + 0.005 * wave],
                    alpha=alpha,
                    seed=seed,
                    result={"sparsity": 0.5 + 0.3 * slope * alpha - 0.01 * wave},
                )
            )
    (found,) = claims.alpha_tradeoff(run_of(small, blank, records))
    assert found.holds == WORDS[word]
    two = [r for r in records if r["fields"]["alpha"] != 0.9]
    assert claims.alpha_tradeoff(run_of(small, blank, two)) == []


def test_an_alpha_that_changes_nothing_has_its_verdict_too(small, blank):
    records = [
        searched(0.5, finals=[0.8 + 0.01 * seed], alpha=a, seed=seed, result={"sparsity": 0.9})
        for a in small.alphas
        for seed in range(5)
    ]
    (found,) = claims.alpha_tradeoff(run_of(small, blank, records))
    assert found.holds == "inconclusive"
    assert "ρ(α, sparsity) = undefined (all alike), ρ(α, accuracy) = +0.00" in found.statistic


def of_properties(vectors):
    """Return a stand-in for a database whose every sparsity holds ``vectors``."""

    def of(names, sparsity):
        assert names == CANDIDATES
        assert sparsity is not None  # The database may hold sparsities that table 1 has not.
        return np.arange(len(vectors)), vectors

    return types.SimpleNamespace(vectors=of)


def test_the_five_are_uncorrelated(small, blank):
    vectors = np.random.default_rng(0).normal(size=(200, 9))
    apart = claims.five_uncorrelated(run_of(small, blank, [], of_properties(vectors)))
    assert words(apart) == ["holds", "holds"]
    # 400 graphs over both sparsities, 200 at one; the error of r is 1 / sqrt(n - 1) at most.
    assert [v.interval.split(":")[0] for v in apart] == ["400 graphs", "200 graphs"]
    assert [v.interval.split()[-1] for v in apart] == ["0.05", "0.071"]
    five = [CANDIDATES.index(name) for name in PAPER_FIVE]
    twins = vectors.copy()
    twins[:, five[1]] = -twins[:, five[0]] + 0.1 * vectors[:, five[1]]
    together = claims.five_uncorrelated(run_of(small, blank, [], of_properties(twins)))
    assert words(together) == ["does not hold"] * 2
    assert "r = -0.99" in together[0].statistic
    flat = vectors.copy()
    flat[:, five[0]] = 0.5
    constant = claims.five_uncorrelated(run_of(small, blank, [], of_properties(flat)))
    assert words(constant) == ["does not hold"] * 2
    assert constant[0].statistic.startswith(f"constant: {PAPER_FIVE[0]}; ")


def test_no_records_no_verdicts_but_the_databases(small, blank):
    vectors = np.random.default_rng(0).normal(size=(50, 9))
    found = claims.verdicts(run_of(small, blank, [], of_properties(vectors)))
    assert [v.claim[:8] for v in found] == ["The five"] * 2


def test_the_sign_of_an_interval():
    assert claims.sign(Interval(1.0, 0.1, 2.0, 5)) == "holds"
    assert claims.sign(Interval(-1.0, -2.0, -0.1, 5)) == "does not hold"
    assert claims.sign(Interval(1.0, -0.1, 2.0, 5)) == "inconclusive"
    assert claims.sign(Interval(1.0, None, None, 1)) == "inconclusive"
