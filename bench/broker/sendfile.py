"""The least that a fetch can cost: a header and sendfile, nothing decided, nothing checked.

`python -m bench.broker.sendfile FILE SIZE` prints its address and answers every request of one
client after the other with the next SIZE bytes of the file, framed as Kafka frames answers.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path
from typing import BinaryIO

_SIZE = struct.Struct(">i")
_HEADER = bytes(80)  # as long as a fetch answer's without its records, or nearly


def serve(client: socket.socket, file: int, size: int, end: int) -> None:
    """Answer until the client hangs up."""
    requests: BinaryIO = client.makefile("rb")
    head = _SIZE.pack(len(_HEADER) + size) + _HEADER
    start = 0
    while asked := requests.read(4):
        requests.read(*_SIZE.unpack(asked))
        client.sendall(head, socket.MSG_MORE)
        position, stop = start, start + size
        while position < stop:
            position += os.sendfile(client.fileno(), file, position, stop - position)
        start = stop if stop + size <= end else 0


def main() -> None:
    """Serve for ever."""
    path, size = sys.argv[1], int(sys.argv[2])
    with Path(path).open("rb") as file, socket.create_server(("127.0.0.1", 0)) as listener:
        print("{}:{}".format(*listener.getsockname()), flush=True)
        end = os.fstat(file.fileno()).st_size
        while True:
            client, _ = listener.accept()
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                serve(client, file.fileno(), size, end)


if __name__ == "__main__":
    main()
