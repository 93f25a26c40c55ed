"""The broker of a directory: where to find it, how to start it, and what keeps it alive.

A program that is given no address uses the broker of a directory, as SQLite uses a file. Nobody has
to start that broker and nobody has to stop it. This module is the agreement between the two sides
and the only place that knows both; it knows nothing of topics, requests or applications.

What lies in the directory, beside the data itself:

``broker.json``  the broker's address, its lease port and a token. Written when the broker is ready
                 and left behind when it ends, for the port in it stays the directory's own.
``broker.log``   what the broker printed.
``start.lock``   held by the one program that is just now starting the broker.

**A lease is an open socket.** Whoever uses the broker holds one; the broker ends when the last has
been gone for a short while (``MQ_LINGER`` seconds, 2 by default), never before. Nothing is counted
in a file, so nothing is left over when a process is killed: the kernel closes its sockets. The
starter's lease is a socket pair whose other end is the broker's standard input, so there is no
moment between start and attachment in which either could die unnoticed. Everyone else connects to
the lease port and shows the token.

**A lease heals.** Every holder sees the end of a broker that was killed, and starts it again on
the same port, so clients reconnect and go on. A broker that somebody started by hand
(``mq broker``) can be leased too, but neither ends nor heals with its leases: it has an owner.
"""

from __future__ import annotations

from mq.embedded.bootstrap import Bootstrap, resolve
from mq.embedded.directory import bind, prepare
from mq.embedded.keeper import LeaseKeeper
from mq.embedded.lease import Lease, attach

__all__ = ["Bootstrap", "Lease", "LeaseKeeper", "attach", "bind", "prepare", "resolve"]
