"""The release script writes the version everywhere, and refuses a tag that does not fit."""

import datetime
import pathlib
import runpy
import shutil

import pytest

ROOT = pathlib.Path(__file__).parent.parent
script = runpy.run_path(str(ROOT / ".github" / "release.py"))
DATE = datetime.date(2030, 1, 2)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the files that a release changes."""
    for name in (*script["VERSION_FILES"], "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("version", ["0.1.0", "7.8.9"])
def test_a_prepared_release_has_no_problems(tree, version):
    script["set_version"](tree, version, DATE)
    assert script["release_problems"](tree, f"v{version}") == []
    assert f"\n## [{version}] - 2030-01-02\n" in (tree / "CHANGELOG.md").read_text()
    assert "## [Unreleased]\n" in (tree / "CHANGELOG.md").read_text()


def test_every_place_without_the_version_is_a_problem(tree):
    script["set_version"](tree, "7.8.9", DATE)
    problems = script["release_problems"](tree, "v7.9.0")
    for name, problem in zip((*script["VERSION_FILES"], "CHANGELOG.md"), problems, strict=True):
        assert name in problem


def test_an_undated_changelog_is_a_problem(tree):
    script["set_version"](tree, "7.8.9", DATE)
    changelog = tree / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("2030-01-02", "not released yet"))
    (problem,) = script["release_problems"](tree, "v7.8.9")
    assert "CHANGELOG.md" in problem
