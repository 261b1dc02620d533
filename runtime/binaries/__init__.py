"""What a shared library exports and needs, read from its file: ELF, Mach-O and PE."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Library:
    """What the checks of a wheel ask of a shared library.

    Attributes:
        machine: "x86_64", "aarch64", "arm" or, unknown here, the number in the file.
        exports: Names of the symbols that others can use.
        needs: Names of the libraries that the loader has to find.
        versions: Versions of symbols that the libraries must have, such as "GLIBC_2.17"; ELF alone.
        executable_stack: The loader would make the stack executable; ELF alone.
    """

    machine: str
    exports: tuple[str, ...]
    needs: tuple[str, ...]
    versions: tuple[str, ...] = ()
    executable_stack: bool = False
