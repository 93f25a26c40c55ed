"""Apache Kafka beside us: the oracle, the second engine and the peer of the benchmarks.

Kafka and its command-line tools come from Maven Central (`tools/pom.xml`) into a cache outside of
the work tree, once per machine. `ApacheKafka` is one KRaft node in a directory of its own, on
ports that the operating system chose, that dies with the process that started it.

    python -m tools.apache_kafka run                      # a node until Ctrl-C
    python -m tools.apache_kafka classpath
    python -m tools.apache_kafka tool kafka.tools.StorageTool random-uuid

Knows nothing of mq: neither its broker nor its client library.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

VERSION = "4.3.0"
POM = Path(__file__).with_name("pom.xml")

START_TIMEOUT_S = 90.0  # 3-5 s alone; a machine that runs everything else as well takes longer
STOP_TIMEOUT_S = 30.0
FETCH_TIMEOUT_S = 600.0

# A node for tests: as Kafka ships it, but with what one node needs (replication factors of 1), no
# wait before the first rebalance, and few partitions of internal topics, whose files cost seconds.
SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "num.partitions": "8",
    "auto.create.topics.enable": "true",
    "offsets.topic.num.partitions": "8",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "8",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
}

# The flags of Kafka's own start script.
SERVER_FLAGS = (
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
)
# A tool lives for a second: the quick compiler alone starts it in half the time.
TOOL_FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"


class ApacheKafkaError(Exception):
    """Apache Kafka could not be fetched, started or asked; the text says which and shows why."""


def cache_directory() -> Path:
    """Where the jars are kept: `$XDG_CACHE_HOME/mq/kafka-<version>`, never in the work tree."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "mq" / f"kafka-{VERSION}"


def fetch() -> Path:
    """Return the directory of the jars, fetching them by Maven if this machine has none yet.

    Safe against a race and against a kill: one process fetches under a lock into a scratch
    directory, and only a complete one is ever renamed to its final name.

    Raises:
        ApacheKafkaError: Maven is missing or failed.
    """
    libs = cache_directory() / "libs"
    if libs.is_dir():
        return libs
    libs.parent.mkdir(parents=True, exist_ok=True)
    with (libs.parent / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if libs.is_dir():  # the one who held the lock before us fetched it
            return libs
        scratch = libs.with_name("libs.part")
        shutil.rmtree(scratch, ignore_errors=True)
        _run_maven(scratch)
        scratch.rename(libs)
    return libs


def _run_maven(target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ApacheKafkaError("Maven (mvn) is needed to fetch Apache Kafka; it is not on the PATH")
    print(f"fetching Apache Kafka {VERSION} (about 130 MB, once) ...", file=sys.stderr)
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    done = subprocess.run(
        [*command, f"-DoutputDirectory={target}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise ApacheKafkaError(f"Maven failed to fetch Apache Kafka:\n{done.stdout}{done.stderr}")


def java() -> str:
    """The path of the Java program.

    Raises:
        ApacheKafkaError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if found is None:
        raise ApacheKafkaError("Java 17 or later is needed to run Apache Kafka; there is none")
    return found


def classpath() -> str:
    """The class path that holds all of Kafka, as `java -cp` takes it."""
    return f"{fetch()}/*"


def tool_command(tool_class: str, *args: str) -> list[str]:
    """The command line that runs one of Kafka's tools, for callers that mind its process."""
    return [java(), *TOOL_FLAGS, QUIET, "-cp", classpath(), tool_class, *args]


def tool(
    tool_class: str,
    *args: str,
    input: str | None = None,  # noqa: A002 - subprocess calls it so
    timeout_s: float = 120.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run one of Kafka's tools to its end, for example `kafka.tools.StorageTool random-uuid`.

    Raises:
        ApacheKafkaError: it failed (unless `check` is false); the text holds what it printed.
        subprocess.TimeoutExpired: it took longer than `timeout_s`.
    """
    done = subprocess.run(
        tool_command(tool_class, *args),
        input=input if input is not None else "",
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    if check and done.returncode != 0:
        raise ApacheKafkaError(
            f"{tool_class} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done


class ApacheKafka:
    """One running KRaft node.

        with ApacheKafka.start() as kafka:
            client = Producer({"bootstrap.servers": kafka.bootstrap})

    `stop` ends it in order, `kill` as power loss would (but the page cache stays), `restart`
    brings it back on the same data and the same ports. Must be started from a thread that lives
    as long as the node is wanted: the kernel ties a child to the thread that made it.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        heap: str = "512m",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a node; `directory` (default: a temporary one) gets its data and its log."""
        self._own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="apache-kafka-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.heap = heap
        self.bootstrap = ""
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        directory: Path | None = None,
        *,
        heap: str = "512m",
        settings: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a node that answers; `settings` are added to server.properties.

        Raises:
            ApacheKafkaError: it did not come up; the text holds the end of its log.
        """
        node = cls(directory, heap=heap, settings=settings)
        try:
            node.prepare()
            node.restart()
        except BaseException:
            node.close()
            raise
        return node

    @property
    def data(self) -> Path:
        """The log directory of the node."""
        return self.directory / "data"

    @property
    def pid(self) -> int:
        """The process id of the running node."""
        if self._process is None:
            raise ApacheKafkaError("the node is not running")
        return self._process.pid

    def restart(self) -> None:
        """Start the stopped or killed node again on its data; return when it answers."""
        if self._process is not None:
            raise ApacheKafkaError("the node is running already")
        flags = [*SERVER_FLAGS, f"-Xmx{self.heap}", f"-Xms{self.heap}"]
        command = [java(), *flags, "-cp", classpath(), "kafka.Kafka", str(self._properties)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End the node in order (SIGTERM); a node that hangs is killed and reported.

        Raises:
            ApacheKafkaError: it did not end within its time.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ApacheKafkaError("Apache Kafka did not stop in time and was killed") from None

    def kill(self) -> None:
        """End the node at once (SIGKILL)."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Kill the node if it still runs and remove its directory if it was a temporary one."""
        self.kill()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def tool(
        self,
        tool_class: str,
        *args: str,
        input: str | None = None,  # noqa: A002 - subprocess calls it so
        timeout_s: float = 120.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Kafka's tools against this node: `--bootstrap-server` is added."""
        address = ("--bootstrap-server", self.bootstrap)
        return tool(tool_class, *address, *args, input=input, timeout_s=timeout_s, check=check)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _log(self) -> Path:
        return self.directory / "kafka.log"

    def prepare(self) -> None:
        """Choose ports, write server.properties, format the data directory; `start` does this."""
        if self._properties.exists():  # a directory of an earlier life: keep its ports
            lines = self._properties.read_text().splitlines()
            found = [line for line in lines if line.startswith("advertised.listeners=")]
            self.bootstrap = found[0].partition("://")[2]
            return
        client_port, controller_port = _free_ports(2)
        self.bootstrap = f"127.0.0.1:{client_port}"
        controller = f"127.0.0.1:{controller_port}"
        settings = {
            **SETTINGS,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": str(self.data),
            **self._settings,
        }
        self._properties.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # "=": an id may begin with a dash, which would read as an option.
        target = (f"--cluster-id={cluster_id}", "-c", str(self._properties))
        tool("kafka.tools.StorageTool", "format", *target)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.bootstrap):
            process = self._process
            assert process is not None
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])
                self.kill()
                raise ApacheKafkaError(f"Apache Kafka did not come up; its log ends so:\n{tail}")
            time.sleep(0.05)


def answers(bootstrap: str, *, timeout_s: float = 2.0) -> bool:
    """Whether a broker at `host:port` answers an ApiVersions request (version 0) without error."""
    host, _, port = bootstrap.rpartition(":")
    request = struct.pack(">hhih", 18, 0, 1, -1)  # key, version, correlation id, no client id
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                head = stream.read(10)  # size, correlation id, error code
    except OSError:
        return False
    if len(head) < 10:
        return False
    _, correlation_id, error = struct.unpack(">iih", head)
    return bool(correlation_id == 1 and error == 0)


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different since all are held at once."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
        return ports


def die_with_parent() -> Callable[[], None] | None:
    """What a child runs before exec so that the kernel kills it when its parent ends (Linux)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be imported after a fork
    parent = os.getpid()
    set_death_signal = 1  # PR_SET_PDEATHSIG

    def arrange() -> None:
        libc.prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os.kill(os.getpid(), signal.SIGKILL)

    return arrange


def _run(data: Path | None) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with ApacheKafka.start(data) as kafka:
            print(kafka.bootstrap, flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    signal.pause()
            kafka.stop()
    except KeyboardInterrupt:
        return 130
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command line: see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tools.apache_kafka")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a node until Ctrl-C; its address is printed")
    run.add_argument("--data", type=Path, help="keep the node's files here (default: temporary)")
    commands.add_parser("classpath", help="print the class path, fetching the jars first")
    one = commands.add_parser("tool", help="run one of Kafka's Java classes")
    one.add_argument("tool_class")
    one.add_argument("args", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    try:
        if options.command == "run":
            return _run(options.data)
        if options.command == "classpath":
            print(classpath())
            return 0
        return subprocess.call(tool_command(options.tool_class, *options.args))
    except ApacheKafkaError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
