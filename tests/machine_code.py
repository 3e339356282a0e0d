"""What a look at compiled kernels tells without a GPU."""

import re
import subprocess
import tempfile
from pathlib import Path

_LINE = re.compile(r'\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P[T0-9]+\s+)?(\S+)\s*(.*?)\s*;')


def unwritten_registers(code):
    """Instructions that read a uniform register which none before them writes, in the order of the code.

    ptxas has made such ones of the addresses that products of matrices read: the GPU then reads outside of memory.
    """
    written, found = set(), []
    for line in _disassembled(code).splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        operation, operands = match[1], [v.strip() for v in match[2].split(',')]
        to = re.fullmatch(r'UR(\d+)', operands[0])
        for operand in operands[1 if to else 0 :]:
            if not _read(operation, operands, operand) <= written:
                found.append(line.strip())
        if to:
            width = {'64': 2, '128': 4}.get(operation.rpartition('.')[2], 2 if 'WIDE' in operation else 1)
            written.update(range(int(to[1]), int(to[1]) + width))
    return found


def _read(operation, operands, operand):
    """Numbers of the uniform registers that an operand stands for."""
    first = [int(number) for number in re.findall(r'\bUR(\d+)\b', operand)]
    if 'gdesc' in operand:  # of both matrices, or of the second one, where the first is in registers
        return {first[0] + i for i in ((0, 1, 2, 3) if operand == operands[1] else (2, 3))}
    wide = 'desc[' in operand or (operation.startswith('U') and operation.endswith('.64'))
    return {number + i for number in first for i in range(2 if wide else 1)}


def _disassembled(code):
    import triton

    tool = Path(triton.__file__).parent / 'backends/nvidia/bin/nvdisasm'
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(code)
        file.flush()
        done = subprocess.run([tool, '-c', file.name], capture_output=True, text=True, check=True)
    return done.stdout
