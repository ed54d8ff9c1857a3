# SPDX-License-Identifier: Apache-2.0
"""What a user might take instead, run beside the product by bench/run --beside: RabbitMQ, NATS and node-hl7-server, each over mutual TLS, with
what its acknowledgement promises."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_SECONDS = 60

RABBIT = """
listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {certs}/ca.pem
ssl_options.certfile = {certs}/broker.pem
ssl_options.keyfile = {certs}/broker.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_options.versions.1 = tlsv1.3
disk_free_limit.absolute = 50MB
log.console = false
"""
NATS = """
listen: "127.0.0.1:{port}"
tls {{ cert_file: "{certs}/broker.pem", key_file: "{certs}/broker.key", ca_file: "{certs}/ca.pem", verify: true }}
jetstream {{ store_dir: "{folder}/store", max_file_store: 64GB }}
"""
HL7 = """
const {{ Server }} = require('{packages}/node_modules/node-hl7-server');
const fs = require('fs');
const server = new Server({{ bindAddress: '127.0.0.1', tls: {{ key: fs.readFileSync('{certs}/broker.key'), cert: fs.readFileSync('{certs}/broker.pem'),
	ca: fs.readFileSync('{certs}/ca.pem'), requestCert: true, rejectUnauthorized: true }} }});
server.createInbound({{ port: {port} }}, async (request, response) => {{ await response.sendResponse('AA'); }});
"""


class Other:
    """A server in a folder of its own. ``server.pid`` is the process whose group does all the work."""

    depths = None  # any
    server = None

    def __init__(self, bench, folder, port):
        self.bench, self.folder, self.port = bench, folder, port
        self.words = {"port": port, "certs": bench.certs, "folder": folder}
        self.folder.mkdir(mode=0o700)
        self.errors = open(self.folder / "output", "wb")

    def begin(self, words, **environment):
        self.server = self.bench.server_start(words, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors, cwd=self.folder,
                                              start_new_session=True, env={**os.environ, **environment})
        self.listening()

    def listening(self):
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{self.name} did not start:\n" + (self.folder / "output").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.1)

    def processor(self):
        """Processor seconds of all processes of its session."""
        ticks = 0
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == self.server.pid:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def published(self, work, protocol, target):
        a = self.bench.arguments
        done = subprocess.run(
            [str(one) for one in (self.bench.programs / "bench/publish", "--protocol", protocol, "--target", target, "--to",
             f"127.0.0.1:{self.port}", *self.bench.tls("chu"), "--connections", work.connections, "--depth", work.depth, "--size", work.size,
             "--warm", a.warm, "--seconds", a.seconds)],
            capture_output=True, text=True, preexec_fn=self.bench.pinned(1), timeout=a.warm + a.seconds + 120)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.strip() or done.returncode}")
        return json.loads(done.stdout)

    def stop(self):
        if self.server:
            self.end()
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self):
        try:
            os.killpg(self.server.pid, 15)
            self.server.wait(timeout=30)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        finally:
            try:
                os.killpg(self.server.pid, 9)
            except ProcessLookupError:
                pass
            self.server.wait()


class Rabbit(Other):
    name = "RabbitMQ"
    promise = "quorum queue of one node, publisher confirm: written to its log and fsynced, in batches"

    def start(self):
        (self.folder / "rabbitmq.conf").write_text(RABBIT.format(**self.words))
        (self.folder / "plugins").write_text("[].\n")
        with socket.socket() as one, socket.socket() as two:
            for free in (one, two):
                free.bind(("127.0.0.1", 0))
            distribution, self.mapper = one.getsockname()[1], two.getsockname()[1]
        self.begin(["/usr/lib/rabbitmq/bin/rabbitmq-server"], HOME=str(self.folder), RABBITMQ_NODENAME=f"bench{self.port}@localhost",
                   RABBITMQ_CONFIG_FILE=str(self.folder / "rabbitmq.conf"), RABBITMQ_MNESIA_BASE=str(self.folder / "data"),
                   RABBITMQ_LOG_BASE=str(self.folder / "log"), RABBITMQ_ENABLED_PLUGINS_FILE=str(self.folder / "plugins"),
                   RABBITMQ_PID_FILE=str(self.folder / "pid"), RABBITMQ_DIST_PORT=str(distribution),
                   ERL_EPMD_PORT=str(self.mapper), ERL_EPMD_ADDRESS="127.0.0.1")

    def end(self):
        """Its port mapper is a daemon that stays: ours is known by its port."""
        super().end()
        subprocess.run(["epmd", "-port", str(self.mapper), "-kill"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def load(self, work):
        return self.published(work, "amqp", "bench")


class Nats(Other):
    name = "NATS"
    promise = "JetStream, file store: written to a file, not synced (every 2 minutes by default)"

    def start(self):
        (self.folder / "nats.conf").write_text(NATS.format(**self.words))
        self.begin(["nats-server", "-c", self.folder / "nats.conf"])
        self.stream()

    def stream(self):
        """Make the stream, by the protocol's own words; they are the same inside TLS."""
        context = self.bench.tls_context("chu")
        with socket.create_connection(("127.0.0.1", self.port), 10) as raw:
            raw.recv(65536)  # INFO
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as one:
                config = json.dumps({"name": "BENCH", "subjects": ["bench"], "storage": "file", "retention": "limits", "max_msgs": -1, "max_bytes": -1,
                                     "max_age": 0, "num_replicas": 1, "discard": "old", "max_consumers": -1, "duplicate_window": 0})
                one.sendall(b'CONNECT {"verbose":false,"tls_required":true,"headers":true}\r\nSUB made 1\r\n' +
                            f"PUB $JS.API.STREAM.CREATE.BENCH made {len(config)}\r\n{config}\r\n".encode())
                told = b""
                while b'"created"' not in told:
                    more = one.recv(65536)
                    told += more
                    if not more or b'"error"' in told:
                        raise RuntimeError(f"NATS made no stream: {told!r}")

    def load(self, work):
        return self.published(work, "nats", "bench")


class NodeHl7(Other):
    name = "node-hl7-server"
    promise = "nothing: it answers what its program says, which here stores nothing"
    depths = 1  # it answers message n of a connection with n acknowledgements, of all that came so far

    def start(self):
        sys.path[:0] = [str(ROOT / "tests/wire"), str(ROOT / "tests/foreign")]
        from partners import install
        packages = install()
        (self.folder / "server.cjs").write_text(HL7.format(packages=packages, **self.words))
        self.begin(["node", self.folder / "server.cjs"])

    def load(self, work):
        return self.bench.load(self.port, work, "--pass-over")


ALL = {"rabbitmq": Rabbit, "nats": Nats, "node": NodeHl7}


def measure(bench, kind, work, folder, port):
    """One run; None when it cannot do this work."""
    if kind.depths and work.depth > kind.depths:
        return None
    other = kind(bench, folder, port)
    try:
        other.start()
        before = other.processor()
        seen = other.load(work)
        return {**seen, "server_cpu_s": other.processor() - before, "all": seen["rate"] * (bench.arguments.seconds + bench.arguments.warm)}
    finally:
        other.stop()
