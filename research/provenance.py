"""Where, when and by which code a number was measured."""

import datetime
import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).parent.parent


def machine() -> str:
    """Return the processor, its widest instruction set, and the number of threads."""
    names = [platform.processor() or platform.machine()]
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS") or os.cpu_count()
    name = (names or [platform.machine()])[0]
    return f"{name}, {instruction_set()}, {os.cpu_count()} cores, {threads} threads"


def instruction_set() -> str:
    """Return the widest vector instructions that the processor has, as its flags name them."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = {flag for line in text.splitlines() for flag in line.split()}
    known = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "asimd", "neon")
    return next((flag for flag in known if flag in flags), platform.machine())


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
