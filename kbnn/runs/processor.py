"""What the processor of this machine can do."""

import pathlib

import tensorflow as tf

_CPUINFO = pathlib.Path("/proc/cpuinfo")
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # x86-64, x86-64, ARM


def has_fast_bfloat16() -> bool:
    """Whether training in bfloat16 is faster on this machine; True if kbnn cannot tell."""
    if tf.config.list_physical_devices("GPU") or not _CPUINFO.exists():
        return True
    lines = _CPUINFO.read_text().splitlines()
    flags = [line for line in lines if line.lower().startswith(("flags", "features"))]
    return not flags or not _BFLOAT16.isdisjoint(flags[0].split())
