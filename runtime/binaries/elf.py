"""Read little-endian ELF libraries of 32 and 64 bits (see man 5 elf)."""

import struct

from binaries import Library

_MACHINES = {0x3E: "x86_64", 0xB7: "aarch64", 0x28: "arm"}
_PT_GNU_STACK, _PF_X = 0x6474E551, 1
_SHT_DYNAMIC, _SHT_DYNSYM, _SHT_VERNEED = 6, 11, 0x6FFFFFFE
_DT_NEEDED = 1
_LOCAL, _UNDEFINED = 0, 0


def read(content: bytes) -> Library:
    """Read a shared library.

    Raises:
        ValueError: The content is not a little-endian ELF file.
    """
    if content[:4] != b"\x7fELF" or content[5] != 1:
        raise ValueError("Expected a little-endian ELF file. Received: another file")
    wide = content[4] == 2
    sections = _sections(content, wide)
    return Library(
        machine=_machine(content),
        exports=_exports(content, sections, wide),
        needs=_needs(content, sections, wide),
        versions=_versions(content, sections),
        executable_stack=_executable_stack(content, wide),
    )


def _machine(content: bytes) -> str:
    (number,) = struct.unpack_from("<H", content, 18)
    return _MACHINES.get(number, str(number))


def _sections(content: bytes, wide: bool) -> list[dict[str, int]]:
    """Return the type, offset, size and linked section of each section."""
    start = struct.unpack_from("<Q" if wide else "<I", content, 0x28 if wide else 0x20)[0]
    entry_size, count = struct.unpack_from("<HH", content, 0x3A if wide else 0x2E)
    form = "<IIQQQQII" if wide else "<IIIIIIII"
    sections = []
    for i in range(count):
        _, kind, _, _, offset, size, link, _ = struct.unpack_from(
            form, content, start + i * entry_size
        )
        sections.append({"type": kind, "offset": offset, "size": size, "link": link})
    return sections


def _text(content: bytes, strings: dict[str, int], offset: int) -> str:
    start = strings["offset"] + offset
    return content[start : content.index(b"\0", start)].decode()


def _exports(content: bytes, sections: list[dict[str, int]], wide: bool) -> tuple[str, ...]:
    names = []
    for section in sections:
        if section["type"] != _SHT_DYNSYM:
            continue
        size = 24 if wide else 16
        for at in range(section["offset"], section["offset"] + section["size"], size):
            if wide:
                name, info, _, index = struct.unpack_from("<IBBH", content, at)
            else:
                name, _, _, info, _, index = struct.unpack_from("<IIIBBH", content, at)
            if index != _UNDEFINED and info >> 4 != _LOCAL:
                names.append(_text(content, sections[section["link"]], name))
    return tuple(sorted(names))


def _needs(content: bytes, sections: list[dict[str, int]], wide: bool) -> tuple[str, ...]:
    names = []
    for section in sections:
        if section["type"] != _SHT_DYNAMIC:
            continue
        form = "<qQ" if wide else "<iI"
        entries = content[section["offset"] : section["offset"] + section["size"]]
        for tag, value in struct.iter_unpack(form, entries):
            if tag == _DT_NEEDED:
                names.append(_text(content, sections[section["link"]], value))
    return tuple(sorted(names))


def _versions(content: bytes, sections: list[dict[str, int]]) -> tuple[str, ...]:
    names = set()
    for section in sections:
        if section["type"] != _SHT_VERNEED:
            continue
        library = section["offset"]
        while True:
            _, _, _, first, following = struct.unpack_from("<HHIII", content, library)
            version = library + first
            while True:
                _, _, _, name, step = struct.unpack_from("<IHHII", content, version)
                names.add(_text(content, sections[section["link"]], name))
                if not step:
                    break
                version += step
            if not following:
                break
            library += following
    return tuple(sorted(names))


def _executable_stack(content: bytes, wide: bool) -> bool:
    start = struct.unpack_from("<Q" if wide else "<I", content, 0x20 if wide else 0x1C)[0]
    entry_size, count = struct.unpack_from("<HH", content, 0x36 if wide else 0x2A)
    for i in range(count):
        at = start + i * entry_size
        (kind,) = struct.unpack_from("<I", content, at)
        (flags,) = struct.unpack_from("<I", content, at + (4 if wide else 24))
        if kind == _PT_GNU_STACK:
            return bool(flags & _PF_X)
    # Without this header the loader uses the architecture's default, which may be executable.
    return True
