"""docs/results.md: written from the rows, and never anything else."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from research import bench_plot, bench_table, benches, provenance, results_page
from research.tests.small_run import make_rows
from research.tests.test_bench import TOML, write_rows

_FOLDERS = [str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
MDFORMAT = shutil.which("mdformat", path=os.pathsep.join(_FOLDERS))


@pytest.fixture
def small(tmp_path):
    """A bench of five arms, of which four have rows."""
    (tmp_path / "small.toml").write_text(TOML)
    table = write_rows(
        tmp_path,
        {
            "plain": [0.49, 0.50, 0.51],
            "longer": [0.52, 0.53, 0.54],
            "wide": [0.60, 0.61, 0.62, 0.60],
        },
        {"plain": 100.0, "longer": 200.0, "wide": 141.42},
    )
    return benches.load(str(tmp_path / "small.toml")), table


def test_the_page_is_the_one_that_the_command_writes():
    """Run `python -m research.results_page` when results/bench.csv or a bench has changed."""
    found = results_page.read_results(map(benches.load, benches.names()), bench_table.FILE)
    assert results_page.FILE.read_text() == results_page.page(found)
    for results in found:
        picture = results_page.FILE.parent / results_page.picture(results)
        assert picture.exists() == (results_page.picture(results) in results_page.FILE.read_text())


def test_a_bench_is_shown_with_its_effects_and_verdicts(small):
    (found,) = results_page.read_results([small[0]], small[1])
    page = results_page.page([found])
    assert bench_plot.shown_arms(found) == ["wide"]
    lines = {
        line.split("`")[1]: line
        for line in page.splitlines()
        if line.startswith("| ") and "`" in line
    }
    assert list(lines) == ["plain", "longer", "wide"]
    assert lines["plain"] == "| plain signs (`plain`) | 3 | 50.00 +- 1.00 |  |  | 1.00 |  |"
    assert lines["longer"].startswith(
        "| twice the epochs (`longer`) | 3 | 53.00 +- 1.00 | +3.00 [+1."
    )
    assert "| 2.00 | better by 1." in lines["longer"]
    # Against plain training of 1.41 times the epochs, which has 51.5.
    assert "+9.25 [" in lines["wide"]
    assert "; at equal time better by " in lines["wide"]
    for text in [
        "## a network on some images",
        "1 epochs with adam, learning rate 0.005 (cosine), batches of 32",
        "10 % of the training images are held out",
        "Seeds: 0 to 3.",
        "on a machine, avx2, 2 cores, 1 threads, with numpy 1.26.4, at commit abc",
        "![Effects of the arms of small](pictures/bench_small.png)",
        "The baseline is plain signs (`plain`).",
    ]:
        assert text in " ".join(page.split("\n")), text
    assert all(len(line) <= 100 for line in page.splitlines() if not line.startswith(("|", "!")))


def test_the_command_writes_page_and_pictures(small, tmp_path, monkeypatch):
    monkeypatch.setattr(benches, "names", lambda: [str(tmp_path / "small.toml")])
    out = tmp_path / "docs" / "results.md"
    results_page.main(file=small[1], out=out)
    found = results_page.read_results([small[0]], small[1])
    assert out.read_text() == results_page.page(found)
    assert (out.parent / "pictures" / "bench_small.png").read_bytes().startswith(b"\x89PNG")
    first = (out.parent / "pictures" / "bench_small.png").read_bytes()
    results_page.main(file=small[1], out=out)
    assert (out.parent / "pictures" / "bench_small.png").read_bytes() == first


def test_benches_without_rows_and_effects_without_intervals(small, tmp_path):
    (tmp_path / "empty").mkdir()
    assert results_page.read_results([small[0]], tmp_path / "empty" / "bench.csv") == []
    assert "No bench has rows yet." in results_page.page([])
    table = tmp_path / "one.csv"
    for row in bench_table.read(small[1]):
        if row.seed == 0:
            bench_table.append(row, table)
    (found,) = results_page.read_results([small[0]], table)
    page = results_page.page([found])
    assert "| too few runs for an interval |" in page
    assert "No arm has two runs" in page
    assert "pictures/" not in page


def test_an_arm_that_takes_longer_than_any_plain_training_has_no_verdict_at_equal_time(tmp_path):
    (tmp_path / "small.toml").write_text(TOML)
    table = write_rows(tmp_path, {"plain": [0.49, 0.51], "wide": [0.60, 0.62]}, {"wide": 300.0})
    bench = benches.load(str(tmp_path / "small.toml"))
    page = results_page.page(results_page.read_results([bench], table))
    (line,) = [line for line in page.splitlines() if "`wide`" in line]
    assert "(beyond)" in line
    assert "at equal time" not in line


def test_seeds_are_shown_as_ranges():
    assert results_page._ranges({0, 1, 2, 5, 7, 8}) == "0 to 2, 5, 7 to 8"
    assert results_page._ranges({3}) == "3"


@pytest.mark.skipif(MDFORMAT is None, reason="mdformat is not installed")
def test_mdformat_leaves_the_page_as_it_is(small, tmp_path):
    (found,) = results_page.read_results([small[0]], small[1])
    rows = make_rows("taught", [0.2, 0.9, 0.1, 0.8], bench="small", machine="AMD EPYC, avx512_bf16")
    found = type(found)(small[0], [*bench_table.read(small[1]), *rows])
    for number, results in enumerate(([], [found])):
        file = tmp_path / f"page{number}.md"
        file.write_text(results_page.page(results))
        shutil.copy(provenance.ROOT / ".mdformat.toml", tmp_path)
        before = file.read_text()
        subprocess.run([MDFORMAT, str(file)], check=True, timeout=120)
        assert file.read_text() == before
