"""The wheel holds all that the package needs; ``make wheel`` does the same in an empty venv."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_five_lines_run_from_the_wheel_on_every_kind_of_model(tmp_path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("bogp-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    run = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tests" / "five_lines.py", "1", "64"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    home, *lines = run.stdout.splitlines()
    assert Path(home).is_relative_to(installed)
    assert [line.split(":")[0] for line in lines] == [
        *("mlp", "lenet-300-100", "lenet-5", "resnet-8", "resnet-20", "vit", "gpt"),
    ]
