"""The many-class data: drawings go to the right split, and kbnn reads the file."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import kbnn
from research import omniglot


def png(ink_rows: int) -> bytes:
    """Return a white drawing of 105 x 105 pixels with black rows at the top."""
    image = np.full((105, 105, 1), 255, np.uint8)
    image[:ink_rows] = 0
    return tf.io.encode_png(image).numpy()


@pytest.fixture
def archives(tmp_path):
    """Two sets of two alphabets, which share one."""
    for number, alphabets in ((1, ("Greek", "Latin")), (2, ("Greek", "Tagalog"))):
        with zipfile.ZipFile(tmp_path / f"small{number}.zip", "w") as file:
            for alphabet in alphabets:
                for drawer in range(1, 21):
                    name = f"set{number}/{alphabet}/character01/0001_{drawer:02}.png"
                    file.writestr(name, png(ink_rows=drawer))
            file.writestr(f"set{number}/notes.txt", "no drawing")
    return [str(tmp_path / f"small{number}.zip") for number in (1, 2)]


def test_drawers_are_split_and_alphabets_counted_once(archives, tmp_path):
    out = tmp_path / "new" / "omniglot.npz"
    arguments = [*archives, "--out", str(out)]
    result = CliRunner().invoke(omniglot.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "3 characters, 45 for train, 15 for test" in result.stdout
    with np.load(out) as file:
        assert file["y_test"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
        # The first of 28 rows covers 3.75 rows of the drawing, so four rows of ink fill it.
        first = file["x_train"][:15, 0, 0].tolist()
        assert first == [68, 136, 204, *[255] * 12]
        assert (file["x_test"][0] > 0).sum(axis=0).tolist() == [5] * 28  # sixteen rows of ink
    train, _, test = kbnn.data.load("folder", directory=out, batch_size=15, validation=0)
    assert [len(batches) for batches in (train, test)] == [3, 1]


def test_archives_of_something_else_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a/b.png", png(1))
    arguments = [str(tmp_path / "a.zip"), "--out", str(tmp_path / "a.npz")]
    result = CliRunner().invoke(omniglot.app, arguments)
    assert result.exit_code == 2
    assert "Expected archives of" in result.output
    assert not (tmp_path / "a.npz").exists()
