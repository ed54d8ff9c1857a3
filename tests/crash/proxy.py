# SPDX-License-Identifier: Apache-2.0
"""A wire between two programs on the loopback that can be cut, held, slowed and half-closed."""
import asyncio
import socket
import struct
import threading

PIECE = 65536


class Connection:
    def __init__(self, near, far):
        self.near, self.far, self.tasks = near, far, []

    def reset(self):
        for one in (self.near, self.far):
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
        for task in self.tasks:
            task.cancel()

    def close(self):
        self.near.close()
        self.far.close()


class Wires(threading.Thread):
    """The thread on which all wires run."""

    def __init__(self):
        super().__init__(daemon=True, name="wires")
        self.loop = asyncio.new_event_loop()

    def run(self):
        self.loop.run_forever()

    def call(self, function, *arguments):
        """``function`` on the thread; what it returned."""
        async def do():
            return function(*arguments)
        return asyncio.run_coroutine_threadsafe(do(), self.loop).result(30)


class Wire:
    """Listens on ``port`` of its own and carries each connection to ``target``."""

    def __init__(self, wires, name, target):
        self.wires, self.name, self.target = wires, name, target
        self.connections = set()
        self.delay = 0  # seconds that each piece takes
        self.passed = 0  # bytes
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        wires.call(self.begin)

    def begin(self):
        self.open = asyncio.Event()
        self.open.set()
        self.accepting = self.wires.loop.create_task(self.accept())

    async def accept(self):
        while True:
            near, _ = await self.wires.loop.sock_accept(self.listener)
            self.wires.loop.create_task(self.carry(near))

    async def carry(self, near):
        far = socket.socket()
        connection = Connection(near, far)
        for one in (near, far):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self.open.wait()
            await self.wires.loop.sock_connect(far, ("127.0.0.1", self.target))
            connection.tasks = [self.wires.loop.create_task(self.pump(near, far)), self.wires.loop.create_task(self.pump(far, near))]
            self.connections.add(connection)
            done, _ = await asyncio.wait(connection.tasks, return_when=asyncio.FIRST_EXCEPTION)
            if any(task.cancelled() or task.exception() for task in done):
                connection.reset()
                await asyncio.wait(connection.tasks)
        except OSError:
            pass
        finally:
            self.connections.discard(connection)
            connection.close()

    async def pump(self, source, sink):
        """Until the source's last byte, which is passed on as such."""
        while True:
            piece = await self.wires.loop.sock_recv(source, PIECE)
            if self.delay:
                await asyncio.sleep(self.delay)
            await self.open.wait()
            if not piece:
                sink.shutdown(socket.SHUT_WR)
                return
            await self.wires.loop.sock_sendall(sink, piece)
            self.passed += len(piece)

    # What can happen to it

    def cut(self):
        """Every connection is reset; what was on its way is gone."""
        def do():
            for connection in list(self.connections):
                connection.reset()
            return len(self.connections)
        return self.wires.call(do)

    def hold(self):
        """A black hole: nothing passes, nobody is told, connections seem to be made."""
        self.wires.call(self.open.clear)

    def slow(self, seconds):
        self.delay = seconds

    def half(self):
        """The end of what goes to the target, said too early."""
        def do():
            for connection in list(self.connections):
                try:
                    connection.far.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        self.wires.call(do)

    def heal(self):
        self.delay = 0
        self.wires.call(self.open.set)
