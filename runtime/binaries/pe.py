"""Read 64-bit Windows DLLs (see "PE Format" in Microsoft's documentation)."""

import struct

from binaries import Library

_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64"}
_PE32_PLUS = 0x20B
_EXPORT, _IMPORT = 0, 1


def read(content: bytes) -> Library:
    """Read a DLL.

    Raises:
        ValueError: The content is not a 64-bit PE file.
    """
    (header,) = struct.unpack_from("<I", content, 0x3C)
    optional = header + 24
    if (
        content[:2] != b"MZ"
        or content[header : header + 4] != b"PE\0\0"
        or struct.unpack_from("<H", content, optional)[0] != _PE32_PLUS
    ):
        raise ValueError("Expected a 64-bit PE file. Received: another file")
    machine, section_count = struct.unpack_from("<HH", content, header + 4)
    (optional_size,) = struct.unpack_from("<H", content, header + 20)
    sections = [
        struct.unpack_from("<III", content, optional + optional_size + 40 * i + 12)
        + struct.unpack_from("<I", content, optional + optional_size + 40 * i + 8)
        for i in range(section_count)
    ]

    def place(address: int) -> int:
        for start, raw_size, raw, size in sections:
            if start <= address < start + max(size, raw_size):
                return address - start + raw
        raise ValueError(f"Expected an address inside a section. Received: {address:#x}")

    def text(address: int) -> str:
        start = place(address)
        return content[start : content.index(b"\0", start)].decode()

    def directory(number: int) -> int:
        return struct.unpack_from("<I", content, optional + 112 + 8 * number)[0]

    exports = []
    if directory(_EXPORT):
        table = place(directory(_EXPORT))
        (count,) = struct.unpack_from("<I", content, table + 24)
        names = place(struct.unpack_from("<I", content, table + 32)[0])
        exports = [text(address) for address in struct.unpack_from(f"<{count}I", content, names)]
    needs = []
    if directory(_IMPORT):
        at = place(directory(_IMPORT))
        while name := struct.unpack_from("<I", content, at + 12)[0]:
            needs.append(text(name))
            at += 20
    return Library(
        _MACHINES.get(machine, str(machine)), tuple(sorted(exports)), tuple(sorted(needs))
    )
