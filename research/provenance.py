"""Where, when and by which code a number was measured."""

import datetime
import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).parent.parent


def machine() -> str:
    """Return the processor and the number of cores."""
    names = [platform.processor() or platform.machine()]
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.machine()])[0]}, {os.cpu_count()} cores"


def commit() -> str:
    """Return the commit, with "+" if tracked files outside results/ differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    status = ("status", "--porcelain", "--untracked-files=no")
    return head + ("+" if _git(*status, "--", ".", ":!results") else "")


def today() -> str:
    """Return the date (UTC)."""
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
