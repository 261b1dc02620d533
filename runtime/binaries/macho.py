"""Read 64-bit Mach-O libraries (see <mach-o/loader.h>, and dyld's sources for the export trie)."""

import struct

from binaries import Library

_MACHINES = {0x0100000C: "aarch64", 0x01000007: "x86_64"}
_LC_LOAD_DYLIB, _LC_DYLD_INFO_ONLY, _LC_DYLD_EXPORTS_TRIE = 0xC, 0x80000022, 0x80000033


def read(content: bytes) -> Library:
    """Read a shared library.

    Raises:
        ValueError: The content is not a 64-bit Mach-O file.
    """
    magic, machine, _, _, count = struct.unpack_from("<IIIII", content)
    if magic != 0xFEEDFACF:
        raise ValueError("Expected a 64-bit Mach-O file. Received: another file")
    exports, needs = [], []
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", content, at)
        if command in (_LC_DYLD_INFO_ONLY, _LC_DYLD_EXPORTS_TRIE):
            # The older command describes five parts, of which the exports are the last.
            place = at + (40 if command == _LC_DYLD_INFO_ONLY else 8)
            start, length = struct.unpack_from("<II", content, place)
            exports += _names(content[start : start + length], 0, "") if length else []
        elif command == _LC_LOAD_DYLIB:
            (offset,) = struct.unpack_from("<I", content, at + 8)
            needs.append(content[at + offset : at + size].partition(b"\0")[0].decode())
        at += size
    return Library(_MACHINES.get(machine, str(machine)), tuple(sorted(exports)), tuple(needs))


def _names(trie: bytes, at: int, prefix: str) -> list[str]:
    """Return the names below a node of the trie, all of which start with `prefix`."""
    size, at = _number(trie, at)
    # The C compiler prefixes each name with an underscore.
    names = [prefix.removeprefix("_")] if size else []
    at += size
    children = trie[at]
    at += 1
    for _ in range(children):
        end = trie.index(b"\0", at)
        edge = trie[at:end].decode()
        child, at = _number(trie, end + 1)
        names += _names(trie, child, prefix + edge)
    return names


def _number(trie: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned LEB128 number and the position after it."""
    value = shift = 0
    while True:
        byte = trie[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
