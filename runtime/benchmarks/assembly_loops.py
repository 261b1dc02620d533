"""Loops of AArch64 assembly that count bits, and the text of assembly within C++."""

import dataclasses
import re

_LABEL = re.compile(r"^([.\w$]+):")
_BRANCH = re.compile(r"^\s+(?:b\.\w+|b(?:eq|ne|lt|gt|le|ge|lo|hi|ls|hs|cc|cs|mi|pl)|cbn?z|tbn?z)\s")
TARGET = re.compile(r"([.\w$]+)\s*$")
"""The last operand of a line; for a branch, its target."""


@dataclasses.dataclass(frozen=True)
class Loop:
    """An innermost loop that counts bits.

    Attributes:
        source: the file of the loop.
        name: its label in the file.
        lines: the assembly, with the branch but without the label.
    """

    source: str
    name: str
    lines: tuple[str, ...]

    @property
    def macs(self) -> int:
        """Binary multiply-accumulates of a pass: 128 for each `cnt` of 16 bytes, 64 for 8 bytes."""
        counts = [line for line in self.lines if re.match(r"\s+cnt\s", line)]
        return sum(128 if ".16b" in line else 64 for line in counts)


def loops(assembly: str, source: str) -> list[Loop]:
    """Return the innermost loops of an assembly text that count bits.

    A loop is the text between a label and the first branch back to it. It is innermost if there is
    no other label in it. Loops with the same instructions are returned once.
    """
    # The text has the same loop for each type of output, with other registers in another order.
    found: dict[tuple[str, ...], Loop] = {}
    label, body = "", list[str]()
    for line in assembly.splitlines():
        line = line.split("//")[0].rstrip()
        if match := _LABEL.match(line):
            label, body = match[1], []
        elif line.strip() and not line.lstrip().startswith("."):
            body.append(line)
            target = TARGET.search(line)
            is_back = target is not None and target[1] in (label, label + "b")
            if label and _BRANCH.match(line) and is_back:
                loop = Loop(source, label, tuple(body))
                if loop.macs:
                    found.setdefault(tuple(sorted(part.split()[0] for part in body)), loop)
                label, body = "", []
    return list(found.values())


def assign_registers(assembly: str) -> str:
    """Replace each named operand, `%[name]`, by a register that the text does not use."""
    names = dict.fromkeys(re.findall(r"%\w?\[(\w+)\]", assembly))
    vectors = {
        match
        for match in re.findall(r"%q?\[(\w+)\](?:\.\d*[bhsdq])", assembly)
        + re.findall(r"%q\[(\w+)\]", assembly)
    }
    taken = {int(number) for number in re.findall(r"\b[vq](\d+)\b", assembly)}
    free_vectors = iter(sorted(set(range(32)) - taken))
    taken = {int(number) for number in re.findall(r"\b[xw](\d+)\b", assembly)}
    free = iter(sorted(set(range(29)) - taken))
    numbers = {name: next(free_vectors if name in vectors else free) for name in names}

    def register(match: "re.Match[str]") -> str:
        modifier, name = match[1], match[2]
        letter = modifier or ("v" if name in vectors else "x")
        return f"{letter}{numbers[name]}"

    return re.sub(r"%(\w?)\[(\w+)\]", register, assembly)


def assembly_text(statement: str) -> str:
    """Return the assembly of an `asm` statement: its string literals before the operands."""
    pieces = re.match(r'(?:\s*"(?:[^"\\]|\\.)*")*', statement)
    literals = re.findall(r'"((?:[^"\\]|\\.)*)"', pieces[0] if pieces else "")
    joined = "".join(literals).replace("\\n", "\n").replace("\\t", "\t")
    # Instructions begin with a blank and labels do not, as in a compiler's output. The conditional
    # parts are for grouped convolutions and for outputs, so they are left out.
    lines, depth = [], 0
    for line in map(str.strip, joined.splitlines()):
        depth += line.startswith(".if")
        if not depth:
            lines.append(line)
        depth -= line.startswith(".endif")
    return "\n".join(line if _LABEL.match(line) else f"\t{line}" for line in lines)
