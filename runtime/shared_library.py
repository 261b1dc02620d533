"""What a shared library exports and needs, read with LIEF from an ELF, Mach-O or PE file."""

import dataclasses
from collections.abc import Iterable

import lief

_MACHINES = {
    lief.ELF.ARCH.X86_64: "x86_64",
    lief.ELF.ARCH.AARCH64: "aarch64",
    lief.ELF.ARCH.ARM: "arm",
    lief.MachO.Header.CPU_TYPE.X86_64: "x86_64",
    lief.MachO.Header.CPU_TYPE.ARM64: "aarch64",
    lief.PE.Header.MACHINE_TYPES.AMD64: "x86_64",
    lief.PE.Header.MACHINE_TYPES.ARM64: "aarch64",
}


@dataclasses.dataclass(frozen=True)
class SharedLibrary:
    """The facts about a shared library that the check of a wheel needs.

    Attributes:
        machine: "x86_64", "aarch64", "arm", or LIEF's name for any other processor.
        exports: names of the symbols that other programs can use.
        needs: names of the libraries that the loader has to find.
        versions: versions of symbols that these libraries must have, such as "GLIBC_2.17"; only ELF
            has them.
        executable_stack: whether the loader would make the stack executable; only ELF says so.
    """

    machine: str
    exports: tuple[str, ...]
    needs: tuple[str, ...]
    versions: tuple[str, ...] = ()
    executable_stack: bool = False


def read_shared_library(content: bytes) -> SharedLibrary:
    """Read the content of a shared library.

    Raises:
        ValueError: the content is not an ELF, Mach-O or PE file.
    """
    lief.logging.disable()
    binary = lief.parse(content)
    if isinstance(binary, lief.ELF.Binary):
        return SharedLibrary(
            machine=_machine(binary.header.machine_type),
            exports=_sorted(symbol.name for symbol in binary.dynamic_symbols if symbol.exported),
            needs=_sorted(binary.libraries),
            versions=_sorted(
                version.name
                for requirement in binary.symbols_version_requirement
                for version in requirement.get_auxiliary_symbols()
            ),
            executable_stack=_executable_stack(binary),
        )
    if isinstance(binary, lief.MachO.Binary):
        return SharedLibrary(
            machine=_machine(binary.header.cpu_type),
            # The C compiler puts an underscore before each name.
            exports=_sorted(symbol.name.removeprefix("_") for symbol in binary.exported_symbols),
            needs=_sorted(
                library.name
                for library in binary.libraries
                if library.command != lief.MachO.LoadCommand.TYPE.ID_DYLIB
            ),
        )
    if isinstance(binary, lief.PE.Binary):
        return SharedLibrary(
            machine=_machine(binary.header.machine),
            exports=_sorted(function.name for function in binary.exported_functions),
            needs=_sorted(binary.libraries),
        )
    raise ValueError("Expected an ELF, Mach-O or PE file. Received: another file")


def _machine(machine: object) -> str:
    return _MACHINES.get(machine, str(machine))


def _sorted(names: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted(set(map(str, names))))


def _executable_stack(binary: lief.ELF.Binary) -> bool:
    stacks = [s for s in binary.segments if s.type == lief.ELF.Segment.TYPE.GNU_STACK]
    # Without this segment the loader takes the architecture's default, which may be executable.
    return not stacks or stacks[0].has(lief.ELF.Segment.FLAGS.X)
