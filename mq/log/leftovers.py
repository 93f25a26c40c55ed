"""What interrupted work has left in a partition's directory is removed, or the work completed.

What is to be done is decided by ``recovery.tidy``; this does it, in an order that a crash may cut
off anywhere.
"""

from __future__ import annotations

from pathlib import Path

from mq.log.files import Files
from mq.log.recovery import interrupted_swaps, tidy
from mq.log.scan import Span, scan
from mq.log.segment import file_name

__all__ = ["clear_leftovers"]


def clear_leftovers(files: Files, path: Path) -> list[str]:
    """Remove or complete what was interrupted; the names in the directory after that.

    Raises:
        OSError: the disk refuses.
    """
    names = files.names(path)
    todo = tidy(names, {base: _end_of_swap(files, path, base) for base in interrupted_swaps(names)})
    if not (todo.remove or todo.rename):
        return names
    for old in todo.remove:
        files.unlink(path / old)
    if todo.remove and todo.rename:
        # Else a crash could keep the new name beside an old one, and no trace of the swap.
        files.sync_directory(path)
    for old, new in todo.rename:
        files.rename(path / old, path / new)
    files.sync_directory(path)
    return files.names(path)


def _end_of_swap(files: Files, path: Path, base: int) -> int:
    swap = path / file_name(base, "log.swap")
    batches = scan(files, files.open(swap), Span(base, 0, files.size(swap)), verify=False)
    return max((header.last_offset + 1 for _, header in batches), default=base)
