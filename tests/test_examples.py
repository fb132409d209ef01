"""The examples run, in quick mode, and print what they say: numbers that can be checked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bogp.masks import read_model

FOLDER = Path(__file__).parent.parent / "examples"
INTERVAL = r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\] \(n=(\d+)\)"


def run(name, folder, *options):
    """Run an example in ``folder`` with warnings as errors, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(FOLDER / name), "--quick", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def intervals(text):
    """Return (estimate, low, high, count) of every interval in ``text``."""
    found = [tuple(map(float, match)) for match in re.findall(INTERVAL, text)]
    assert all(low <= estimate <= high for estimate, low, high, _ in found)
    return found


def test_every_example_is_tested():
    names = {path.stem for path in FOLDER.glob("*.py")}
    tested = {name[13:] for name in globals() if name.startswith("test_example_")}
    assert names == tested
    for name in names:
        text = (FOLDER / f"{name}.py").read_text()
        assert text.startswith('"""')
        assert f"python examples/{name}.py [--quick]" in text


def test_example_01_five_lines(tmp_path):
    printed = run("01_five_lines.py", tmp_path)
    kept, total = map(
        int, re.search(r"(\d+) of ([\d,]+)", printed)[0].replace(",", "").split(" of ")
    )
    assert (total, kept) == (64 * 64 + 64 * 10, round(0.1 * (64 * 64 + 64 * 10)))
    saved = read_model(tmp_path / "pruned.safetensors")
    nonzero = sum(int(saved.state[name].count_nonzero()) for name in saved.mask)
    assert nonzero == kept
    pruned, dense, lead = intervals(printed)
    assert 0.1 < pruned[0] < 1.0
    assert lead[0] == pytest.approx(100 * (pruned[0] - dense[0]), abs=0.11)
    assert "</html>" in (tmp_path / "report.html").read_text()


def test_example_02_compare_criteria(tmp_path):
    printed = run("02_compare_criteria.py", tmp_path)
    rows = dict(re.findall(r"^(\S+) +(\d\.\d+) \[", printed, re.M))
    assert set(rows) == {"random", "ERK-random", "magnitude", "SNIP", "GraSP", "SynFlow"}
    values = [float(value) for value in rows.values()]
    assert values == sorted(values, reverse=True)
    leads = dict(re.findall(r"^(\S+) .*\(n=3\) +(-?[\d.]+) \[", printed, re.M))
    assert len(leads) == 5
    for name, lead in leads.items():
        assert float(lead) == pytest.approx(
            100 * (float(rows[name]) - float(rows["random"])), abs=0.16
        )


def test_example_03_own_model_and_data(tmp_path):
    printed = run("03_own_model_and_data.py", tmp_path)
    rows = re.findall(r"^(\S+)\s+\((.*?)\)\s+density (\S+)", printed, re.M)
    assert [name for name, _, _ in rows] == [
        "block.depthwise.weight", "block.pointwise.weight", "wide.weight",
    ]  # fmt: skip
    sizes = [torch.Size(map(int, shape.split(","))).numel() for _, shape, _ in rows]
    kept = sum(float(density) * size for size, (_, _, density) in zip(sizes, rows, strict=True))
    assert kept == pytest.approx(0.2 * sum(sizes), rel=0.01)
    assert "mask the same, logits differ by 0\n" in printed
    assert len(intervals(printed)) == 2


def test_example_04_search_with_controls(tmp_path):
    printed = run("04_search_with_controls.py", tmp_path)
    assert "random search's winner" in printed
    assert "layerwise shuffle" in printed
    assert len(intervals(printed)) >= 4
    spent = dict(re.findall(r"(search|random search|fresh seeds and controls) (\d+)", printed))
    assert int(spent["random search"]) >= int(spent["search"]) > 8
    again = run("04_search_with_controls.py", tmp_path)  # from the study, training nothing
    assert again == printed


def test_example_05_analyse_and_export(tmp_path):
    printed = run("05_analyse_and_export.py", tmp_path)
    sparsity, effective = map(
        float, re.search(r"sparsity ([\d.]+), effective ([\d.]+)", printed).groups()
    )
    assert sparsity == pytest.approx(0.95, abs=1e-3)
    assert effective >= sparsity
    dense = int(re.search(r"dense: ([\d,]+) bytes", printed)[1].replace(",", ""))
    sizes = dict(re.findall(r"^(onnx|compact|csr): ([\d,]+) bytes", printed, re.M))
    assert int(sizes["compact"].replace(",", "")) < dense
    assert int(sizes["csr"].replace(",", "")) < dense
    assert all(float(number) < 1e-4 for number in re.findall(r"logits within (\S+)", printed))
    assert printed.count("\n- ") == 3
    assert (tmp_path / "exported" / "export.json").exists()
    compacted = list((tmp_path / "exported").glob("*compact*.safetensors"))
    assert all(load_file(path) for path in compacted)


def test_example_06_property_study(tmp_path):
    printed = run("06_property_study.py", tmp_path)
    rows = [line for line in printed.splitlines() if re.match(r"[a-z_]+ +-?\d", line)]
    assert len(rows) == 4
    found = intervals("\n".join(rows))
    assert len(found) == 7  # each alone, and three with the strongest held fixed
    assert all(-1 <= low <= high <= 1 and count == 24 for _, low, high, count in found)
