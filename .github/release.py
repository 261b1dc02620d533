"""Prepare a release, or check that its tag fits the tree.

    python .github/release.py 0.1.0           # sets the version and dates it in CHANGELOG.md
    python .github/release.py --check v0.1.0

kbnn and kbnn-runtime are released together, under one version.
"""

import argparse
import datetime
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
VERSION_FILES = ("kbnn/_version.py", "runtime/src/kbnn_runtime/_version.py")
_VERSION_LINE = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version", nargs="?", help="such as 0.1.0")
    parser.add_argument("--check", metavar="TAG", help="such as v0.1.0; changes nothing")
    given = parser.parse_args()
    if given.check:
        problems = release_problems(ROOT, given.check)
        sys.exit("\n".join(problems) or 0)
    if not re.fullmatch(r"\d+\.\d+\.\d+", given.version or ""):
        parser.error(f"Expected a version such as 0.1.0. Received: {given.version}")
    status = ["git", "-C", str(ROOT), "status", "--porcelain"]
    changes = subprocess.run(status, check=True, capture_output=True, text=True).stdout
    if changes:
        sys.exit(f"Expected no uncommitted changes: commit or stash them. Received:\n{changes}")
    set_version(ROOT, given.version, datetime.date.today())


def set_version(root: pathlib.Path, version: str, date: datetime.date) -> None:
    """Write the version into the version files, and with its date into the changelog."""
    for name in VERSION_FILES:
        path = root / name
        path.write_text(_VERSION_LINE.sub(f'__version__ = "{version}"', path.read_text()))
    path = root / "CHANGELOG.md"
    heading = f"## [{version}] - {date.isoformat()}"
    text, found = re.subn(
        rf"^## \[{re.escape(version)}\].*$", heading, path.read_text(), flags=re.MULTILINE
    )
    if not found:
        text = text.replace("## [Unreleased]\n", f"## [Unreleased]\n\n{heading}\n", 1)
    path.write_text(text)


def release_problems(root: pathlib.Path, tag: str) -> list[str]:
    """List where the tree does not carry the version that a tag names."""
    version = tag.removeprefix("v")
    problems = []
    for name in VERSION_FILES:
        written = _VERSION_LINE.findall((root / name).read_text())
        if written != [version]:
            problems.append(f"Expected version {version} in {name}. Received: {written}")
    headings = re.findall(r"^## .*$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    newest = [heading for heading in headings if heading != "## [Unreleased]"][:1]
    if not newest or not re.fullmatch(
        rf"## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", newest[0]
    ):
        problems.append(
            f"Expected '## [{version}] - DATE' first in CHANGELOG.md. Received: {newest}"
        )
    return problems


if __name__ == "__main__":
    main()
