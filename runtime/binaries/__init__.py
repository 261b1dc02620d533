"""Read what a shared library exports and needs from its file: ELF, Mach-O and PE."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Library:
    """The properties of a shared library that the checks of a wheel need.

    Attributes:
        machine: "x86_64", "aarch64" or "arm"; for any other machine, its number in the file.
        exports: The names of the exported symbols.
        needs: The names of the libraries that the loader has to find.
        versions: The symbol versions that those libraries must have, such as "GLIBC_2.17". ELF
            only.
        executable_stack: Whether the loader makes the stack executable. ELF only.
    """

    machine: str
    exports: tuple[str, ...]
    needs: tuple[str, ...]
    versions: tuple[str, ...] = ()
    executable_stack: bool = False
