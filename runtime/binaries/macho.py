"""Mach-O libraries, 64 bits: see <mach-o/loader.h>, and for the trie of exports dyld's sources."""

import struct

from binaries import Library

_MACHINES = {0x0100000C: "aarch64", 0x01000007: "x86_64"}
_LC_LOAD_DYLIB, _LC_DYLD_INFO_ONLY, _LC_DYLD_EXPORTS_TRIE = 0xC, 0x80000022, 0x80000033


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
        if command in (_LC_DYLD_INFO_ONLY, _LC_DYLD_EXPORTS_TRIE):
            # The exports are the last of the five parts that the older command tells of.
            place = at + (40 if command == _LC_DYLD_INFO_ONLY else 8)
            start, length = struct.unpack_from("<II", content, place)
            exports += _names(content[start : start + length], 0, "") if length else []
        elif command == _LC_LOAD_DYLIB:
            (offset,) = struct.unpack_from("<I", content, at + 8)
            needs.append(content[at + offset : at + size].partition(b"\0")[0].decode())
        at += size
    return Library(_MACHINES.get(machine, str(machine)), tuple(sorted(exports)), tuple(needs))


def _names(trie: bytes, at: int, prefix: str) -> list[str]:
    """The names in the part of a trie that begins at a node, all of which start with `prefix`."""
    size, at = _number(trie, at)
    # The C compiler puts an underscore before each name.
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
    """An unsigned LEB128 number, and where it ends."""
    value = shift = 0
    while True:
        byte = trie[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
