# SPDX-License-Identifier: Apache-2.0
"""One TLS connection for a thread that sends and one that reads: OpenSSL's object may be used by one of them at a time only, and Python
up to 3.12 does not see to it."""
import select
import ssl
import threading
import time


class Duplex:
    """An SSL socket whose ``recv``, ``send`` and ``sendall`` wait for the other end outside the lock; all else is the socket's own."""

    def __init__(self, tls):
        self.tls, self.lock, self.limit = tls, threading.Lock(), tls.gettimeout()
        tls.setblocking(False)

    def __getattr__(self, name):
        return getattr(self.tls, name)

    def settimeout(self, seconds):
        self.limit = seconds

    def gettimeout(self):
        return self.limit

    def patiently(self, call, *data):
        """``call(*data)`` once the connection is ready for it; TimeoutError after the limit that held when it began."""
        end = None if self.limit is None else time.monotonic() + self.limit
        while True:
            try:
                with self.lock:
                    return call(*data)
            except ssl.SSLWantReadError:
                wanted = select.POLLIN
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            except BlockingIOError:  # shut down by us: the plain socket's own word
                wanted = select.POLLIN | select.POLLOUT
            poll = select.poll()
            poll.register(self.tls, wanted)
            left = None if end is None else (end - time.monotonic()) * 1000
            if (left is not None and left <= 0) or not poll.poll(left):
                raise TimeoutError("the read or write timed out")

    def recv(self, size):
        return self.patiently(self.tls.recv, size)

    def send(self, data):
        return self.patiently(self.tls.send, data)

    def sendall(self, data):
        with memoryview(data) as left:
            while left:
                left = left[self.send(left):]

    def unwrap(self):
        return self.patiently(self.tls.unwrap)
