"""Mach-O libraries, 64 bits: see <mach-o/loader.h> and <mach-o/nlist.h>."""

import struct

from binaries import Library

_MACHINES = {0x0100000C: "aarch64", 0x01000007: "x86_64"}
_LC_SYMTAB, _LC_LOAD_DYLIB = 0x2, 0xC
_N_STAB, _N_PEXT, _N_TYPE, _N_EXT = 0xE0, 0x10, 0x0E, 0x01
_N_UNDF = 0


def read(content: bytes) -> Library:
    """Read a shared library.

    Raises:
        ValueError: The content is no Mach-O file of 64 bits.
    """
    magic, machine, _, _, count = struct.unpack_from("<IIIII", content)
    if magic != 0xFEEDFACF:
        raise ValueError("Expected a 64-bit Mach-O file. Received another one")
    exports, needs = [], []
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", content, at)
        if command == _LC_SYMTAB:
            exports = _symbols(content, *struct.unpack_from("<IIII", content, at + 8))
        elif command == _LC_LOAD_DYLIB:
            (offset,) = struct.unpack_from("<I", content, at + 8)
            needs.append(content[at + offset : at + size].partition(b"\0")[0].decode())
        at += size
    return Library(_MACHINES.get(machine, str(machine)), tuple(sorted(exports)), tuple(needs))


def _symbols(content: bytes, start: int, count: int, strings: int, _: int) -> list[str]:
    names = []
    for i in range(count):
        name, kind, _, _, _ = struct.unpack_from("<IBBHQ", content, start + 16 * i)
        defined = kind & _N_TYPE != _N_UNDF and not kind & _N_STAB
        if defined and kind & _N_EXT and not kind & _N_PEXT:
            begin = strings + name
            # The C compiler puts an underscore before each name.
            names.append(content[begin : content.index(b"\0", begin)].decode().removeprefix("_"))
    return names
