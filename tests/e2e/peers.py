"""Peers written for the tests: one that is honest, and each kind of bad one. Threads in the test's own process.

They speak BEP 3 with the Fast extension (BEP 6) when the other side offers it.
"""
import os
import socket
import struct
import threading
import time

from seeds import HOST

CHOKE, UNCHOKE, INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL, REJECT = 0, 1, 2, 4, 5, 6, 7, 8, 16
FAST_BIT = 0x04  # in reserved byte 7


def receive(connection, count):
    """Exactly `count` bytes; OSError when the other side has gone."""
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


def message(kind, payload=b""):
    return struct.pack(">IB", 1 + len(payload), kind) + payload


def handshake(info_hash, peer_id, fast):
    return b"\x13BitTorrent protocol" + bytes([0, 0, 0, 0, 0, 0, 0, FAST_BIT if fast else 0]) + info_hash + peer_id


class HonestPeer:
    """Has `have` (indices; default: all) and answers every request with the truth."""

    unchokes = True

    def __init__(self, case, torrent, have=None, fast=True, host=HOST):
        self.torrent, self.fast = torrent, fast
        self.have = set(range(torrent.pieces) if have is None else have)
        self.connections, self.served = 0, 0  # so far: handshakes, bytes of blocks
        self.requests = []  # (index, begin, length), in the order they came
        self._open = set()
        self._server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self._server.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()
        case.addCleanup(self.close)

    def close(self):
        """Stops listening and drops every connection, as a killed process would."""
        self._server.close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        self._open.add(connection)
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.greet(connection)
                while True:
                    length = struct.unpack(">I", receive(connection, 4))[0]
                    body = receive(connection, length)
                    if body[:1] == bytes([REQUEST]):
                        request = struct.unpack(">III", body[1:])
                        self.requests.append(request)
                        self.on_request(connection, *request)
        except OSError:
            pass
        finally:
            self._open.discard(connection)

    def greet(self, connection):
        hello = receive(connection, 68)
        if not hello.startswith(b"\x13BitTorrent protocol"):
            raise ConnectionAbortedError  # an encrypted handshake: we offer none
        self.connections += 1
        fast = self.fast and bool(hello[27] & FAST_BIT)
        bits = bytearray((self.torrent.pieces + 7) // 8)
        for index in self.have:
            bits[index // 8] |= 0x80 >> index % 8
        opening = handshake(self.torrent.info_hash, b"-XX0001-" + os.urandom(12), fast) + message(BITFIELD, bytes(bits))
        connection.sendall(opening + (message(UNCHOKE) if self.unchokes else b""))

    def block(self, index, begin, length):
        return self.torrent.bytes_at(index * self.torrent.piece + begin, length)

    def send_block(self, connection, index, begin, data):
        self.served += len(data)
        connection.sendall(message(PIECE, struct.pack(">II", index, begin) + data))

    def on_request(self, connection, index, begin, length):
        self.send_block(connection, index, begin, self.block(index, begin, length))


class CorruptPeer(HonestPeer):
    """Answers at once, with noise of the right length."""

    def on_request(self, connection, index, begin, length):
        self.send_block(connection, index, begin, os.urandom(length))


class OneBadBytePeer(HonestPeer):
    """Answers with the truth, but for one byte in every block."""

    def on_request(self, connection, index, begin, length):
        data = bytearray(self.block(index, begin, length))
        data[length // 2] ^= 1
        self.send_block(connection, index, begin, bytes(data))


class SilentPeer(HonestPeer):
    """Takes every request and answers none after the first `answers`."""

    def __init__(self, case, torrent, answers=0, **kw):
        self.answers = answers
        super().__init__(case, torrent, **kw)

    def on_request(self, connection, index, begin, length):
        if self.answers > 0:
            self.answers -= 1
            super().on_request(connection, index, begin, length)


class SlowPeer(HonestPeer):
    """Sends `rate` bytes a second, in small pieces."""

    def __init__(self, case, torrent, rate, **kw):
        self.rate = rate
        super().__init__(case, torrent, **kw)

    def on_request(self, connection, index, begin, length):
        data = message(PIECE, struct.pack(">II", index, begin) + self.block(index, begin, length))
        for at in range(0, len(data), 1024):
            connection.sendall(data[at : at + 1024])
            time.sleep(1024 / self.rate)
        self.served += length


class BurstPeer(HonestPeer):
    """Answers whatever was asked so far every `pulse` seconds, at once: what Transmission does (0.5 s)."""

    def __init__(self, case, torrent, pulse=0.5, **kw):
        self.pulse = pulse
        super().__init__(case, torrent, **kw)

    def greet(self, connection):
        super().greet(connection)
        self.waiting = []
        threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def on_request(self, connection, index, begin, length):
        self.waiting.append((index, begin, length))

    def _answer(self, connection):
        try:
            while connection.fileno() >= 0:
                time.sleep(self.pulse)
                batch, self.waiting = self.waiting, []
                for index, begin, length in batch:
                    self.send_block(connection, index, begin, self.block(index, begin, length))
        except OSError:
            pass


class RejectingPeer(HonestPeer):
    """Says it has everything and rejects every request (BEP 6)."""

    def on_request(self, connection, index, begin, length):
        connection.sendall(message(REJECT, struct.pack(">III", index, begin, length)))


class ChokingPeer(HonestPeer):
    """Never unchokes."""

    unchokes = False


class MutePeer(HonestPeer):
    """Accepts connections and never says a word, not even the handshake."""

    def greet(self, connection):
        self.connections += 1
        while True:
            receive(connection, 1)


class OversizedPeer(HonestPeer):
    """Announces a message of 4 GiB instead of answering."""

    def on_request(self, connection, index, begin, length):
        connection.sendall(b"\xff\xff\xff\xff" + os.urandom(64))


class Client:
    """The smallest downloader: what the tests of these peers themselves use."""

    def __init__(self, case, peer, torrent, fast=True):
        self.connection = socket.create_connection((HOST, peer.port), timeout=5)
        case.addCleanup(self.connection.close)
        self.connection.sendall(handshake(torrent.info_hash, b"-TT0001-" + b"0" * 12, fast) + message(INTERESTED))
        self.hello = receive(self.connection, 68)

    def next(self):
        """(kind, payload) of the next message."""
        length = struct.unpack(">I", receive(self.connection, 4))[0]
        body = receive(self.connection, length)
        return body[0], body[1:]

    def request(self, index, begin, length):
        self.connection.sendall(message(REQUEST, struct.pack(">III", index, begin, length)))
