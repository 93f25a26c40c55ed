"""Where our broker spends its time while it is measured: py-spy's samples, summed up.

py-spy (which has to be on the PATH or beside the interpreter) looks at the running process from
outside, threads that wait left out. What a section prepares is in its profile, too. A profile says
why a figure is what it is; the figures of a run with a profile are not to be quoted, since looking
costs something.
"""

from __future__ import annotations

import collections
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RATE_HZ = 200
SHOWN = 15
STOP_TIMEOUT_S = 30.0
_LINE = re.compile(r":\d+\)$")  # of the source line at the end of a frame


@contextmanager
def profiled(pid: int, name: str) -> Iterator[None]:
    """Sample a process meanwhile, then print the functions that had the most samples."""
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which(
        "py-spy"
    )
    assert program, "py-spy is needed for a profile; pip install py-spy"
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "stacks"
        command = [program, "record", "--format", "raw", "--threads", "--rate", str(RATE_HZ)]
        spy = subprocess.Popen(
            [*command, "--pid", str(pid), "--output", str(output), "--duration", "86400"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            spy.send_signal(signal.SIGINT)
            spy.wait(STOP_TIMEOUT_S)
        print("\n".join(summary(output.read_text().splitlines(), name)), flush=True)


def summary(stacks: list[str], name: str) -> Iterator[str]:
    """A table in Markdown of folded stacks, each with its number of samples at its end."""
    own: collections.Counter[str] = collections.Counter()
    under: collections.Counter[str] = collections.Counter()
    for stack in stacks:
        frames, _, count = stack.rpartition(" ")
        functions = [_LINE.sub(")", frame) for frame in frames.split(";")]
        own[functions[-1]] += int(count)
        under.update(dict.fromkeys(functions, int(count)))
    total = sum(own.values())
    yield f"| {name}: {total / RATE_HZ:.1f} s of samples | itself | with what it calls |"
    yield "| --- | ---: | ---: |"
    for function, samples in own.most_common(SHOWN):
        yield f"| `{function}` | {samples / total:.0%} | {under[function] / total:.0%} |"
