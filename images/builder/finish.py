"""Makes installed packages ready for a read-only image: `finish.py FOLDER`.

Shared libraries lose their debugging data: wheels bring twice their size of it, and slim base
images have no `strip`. Modules are compiled, since nothing can be written beside them later.
"""

from __future__ import annotations

import compileall
import re
import struct
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

_ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
_HEADER_SIZE = 64
_SEGMENT = struct.Struct("<8xQ16xQ16x")  # offset in the file, size in the file

# Generated, loaded one by one when first asked for, and larger than all the rest; a Lease apart,
# which the operator always has.
_SELDOM_LOADED = re.compile(
    r"/kubernetes/(aio/)?client/(api|models)/"
    r"(?!__init__|coordination_v1_api|v1_(lease|managed_fields|object_meta|owner_reference))"
)


def strip(library: Path) -> int:
    """Cut ``library`` behind its last segment: what the loader maps stands before, and sections,
    which only debuggers read, behind. Returns the bytes saved; 0 for another kind of file."""
    image = library.read_bytes()
    if len(image) < _HEADER_SIZE or not image.startswith(_ELF64_LITTLE_ENDIAN):
        return 0
    (table,) = struct.unpack_from("<Q", image, 32)
    entry_size, entries = struct.unpack_from("<HH", image, 54)
    end = table + entries * entry_size
    segments: list[tuple[int, int]] = [
        _SEGMENT.unpack_from(image, offset) for offset in range(table, end, entry_size)
    ]
    end = max(end, *(offset + size for offset, size in segments))
    kept = bytearray(image[:end])
    struct.pack_into("<Q", kept, 40, 0)  # where the section headers begin
    struct.pack_into("<HHH", kept, 58, 0, 0, 0)  # their size, number, and which has their names
    library.write_bytes(kept)
    return len(image) - len(kept)


def compile_modules(folder: Path) -> bool:
    """False when a module is no Python of this version; it is printed."""
    return compileall.compile_dir(
        folder,
        maxlevels=20,
        quiet=1,
        rx=_SELDOM_LOADED,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


def main(folder: Path) -> int:
    libraries = [path for path in sorted(folder.rglob("*.so*")) if not path.is_symlink()]
    saved = sum(map(strip, libraries))
    sys.stdout.write(f"{saved / 1e6:.1f} MB of debugging data taken off\n")
    return 0 if compile_modules(folder) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
