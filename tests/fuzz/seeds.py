#!/usr/bin/python3
"""Writes the first inputs of the fuzz targets, made of tests/data and of the BEPs' examples.

Usage: seeds.py FOLDER. Each target's go to FOLDER/TARGET.
"""
import base64
import gzip
import pathlib
import struct
import sys
import zlib

DATA = pathlib.Path(__file__).parent.parent / "data"
HASH = b"\xcd" * 20


def rows(name):
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:" % len(value) + value
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    pairs = sorted((key.encode(), item) for key, item in value.items())
    return b"d" + b"".join(bencode(key) + bencode(item) for key, item in pairs) + b"e"


def spelled(spec):
    """The first column of bencode_cases.tsv: hex digits, or 'x'*3+'y'*2."""
    if "*" not in spec:
        return bytes.fromhex(spec)
    return b"".join(part[1:2].encode() * int(part[4:]) for part in spec.split("+"))


def bencodes():
    yield from (spelled(row[0]) for row in rows("bencode_cases.tsv"))
    yield from krpc()


def torrents():
    """What is wrong in tests/data, and a few that are right."""
    for file in (DATA / "torrents").iterdir():
        if file.stat().st_size < 64 * 1024:
            yield file.read_bytes()
    single = {"name": "a.bin", "piece length": 16384, "length": 40000, "pieces": b"h" * 60}
    yield bencode({"announce": "http://t.example/announce", "info": single, "nodes": [["n.example", 6881]], "url-list": ["http://w.example/"]})
    files = [{"path": ["d", name], "length": size} for name, size in (("x", 1), ("y.mkv", 20000), ("z", 0))]
    files.insert(1, {"path": [".pad", "1"], "length": 16383, "attr": "p"})
    yield bencode({"announce-list": [["http://a/announce"], ["udp://b:1/announce"]], "info": {"name": "top", "piece length": 16384, "files": files, "pieces": b"h" * 60, "private": 1}})
    tree = {"a": {"": {"length": 5, "pieces root": b"r" * 32}}}
    yield bencode({"info": {"name": "v2", "meta version": 2, "piece length": 16384, "file tree": tree}, "piece layers": {}})


def tracker_replies():
    peers4, peers6 = b"\x01\x02\x03\x04\x1a\xe1" * 3, b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x1a\xe1"
    yield bencode({"interval": 1800, "min interval": 60, "peers": peers4, "peers6": peers6, "tracker id": "id", "external ip": b"\x05\x06\x07\x08"})
    yield bencode({"interval": 1800, "peers": [{"ip": "1.2.3.4", "port": 6881, "peer id": HASH}, {"ip": "2001:db8::1", "port": 1}]})
    yield bencode({"failure reason": "gone \x1b[31m", "retry in": 5})
    yield bencode({"failure reason": "no", "retry in": "never", "warning message": "\u202ewarn"})


def udp_trackers():
    peers = b"\x01\x02\x03\x04\x1a\xe1" * 3
    yield b"\0" + struct.pack(">IIQ", 0, 7, 9)
    yield b"\0" + struct.pack(">IIIII", 1, 7, 1800, 2, 3) + peers
    yield b"\1" + struct.pack(">IIIII", 1, 7, 1800, 2, 3) + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x1a\xe1"
    yield b"\0" + struct.pack(">II", 3, 7) + b"not here"
    yield b"\2udp://tracker.example:6969/announce?key=1"
    yield b"\2udp://[2001:db8::1]:80"


def urls():
    yield from (b"http://tracker.example/announce", b"https://user:p%40ss@[2001:db8::1]:8443/a%20b?c=d&e#f", b"HTTP://EXAMPLE.com:80", b"http://1.2.3.4/?x", b"http://xn--bcher-kva.example./announce")


def krpc():
    """BEP 5's examples, and a reply with all there is."""
    me, you = b"abcdefghij0123456789", b"mnopqrstuvwxyz123456"
    yield bencode({"t": "aa", "y": "e", "e": [201, "A Generic Error Ocurred"]})
    for method, more in (
        ("ping", {}),
        ("find_node", {"target": you, "want": ["n4", "n6"]}),
        ("get_peers", {"info_hash": you}),
        ("announce_peer", {"info_hash": you, "port": 6881, "implied_port": 1, "token": "aoeusnth"}),
    ):
        yield bencode({"t": "aa", "y": "q", "q": method, "a": {"id": me, **more}, "ro": 1, "v": "LT\1\2"})
    yield bencode({"t": "aa", "y": "r", "r": {"id": you}})
    nodes = {"nodes": you + b"\1\2\3\4\x1a\xe1", "nodes6": you + bytes(15) + b"\2\x1a\xe1"}
    yield bencode({"t": "aa", "y": "r", "ip": b"\5\6\7\x08\x1a\xe1", "r": {"id": you, "token": "aoeusnth", "values": ["axje.u", "idhtnm"], **nodes}})


def metadata_messages():
    yield bencode({"msg_type": 0, "piece": 0})
    yield bencode({"msg_type": 2, "piece": 0})
    yield bencode({"msg_type": 1, "piece": 0, "total_size": 3425}) + b"d4:name1:ae"
    yield bencode({"msg_type": 1, "piece": 1, "total_size": 20000}) + bytes(20000 - 16384)


def pex_messages():
    yield bencode({"added": b"\1\2\3\4\x1a\xe1" * 2, "added.f": b"\x10\x02", "dropped": b"\5\6\7\x08\x1a\xe1"})
    v6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x1a\xe1"
    yield bencode({"added6": v6, "added6.f": b"\0", "dropped6": v6})


def magnets():
    yield from (row[0].encode() for row in rows("magnet_cases.tsv"))
    yield b"magnet:?xt=urn:btih:" + HASH.hex().encode() + b"&dn=a+b%2Fc&tr=udp%3A%2F%2Ft%3A1&ws=http%3A%2F%2Fw%2F&x.pe=1.2.3.4:5&x.pe=[::1]:6&so=0,2-4,7&xl=9"
    yield base64.b32encode(HASH)


def lsd_messages():
    start = b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n"
    yield start + (b"Infohash: %s\r\n" % HASH.hex().encode()) + b"cookie: 1a2b\r\n\r\n\r\n"
    yield start.replace(b"Host", b"HOST") + b"infohash: " + b"0" * 40 + b"\r\nInfohash:" + b"F" * 40 + b"\r\nX-More: 1\r\n\r\n\r\n"


def handshakes():
    yield bencode({"m": {"ut_metadata": 3, "ut_pex": 1}, "metadata_size": 31235, "p": 6881, "reqq": 250, "v": "libtorrent 2.0", "yourip": b"\1\2\3\4"})


def message(kind, body=b""):
    return struct.pack(">IB", 1 + len(body), kind) + body


def wire_messages():
    triple = struct.pack(">III", 1, 16384, 16384)
    for kind in (0, 1, 2, 3, 14, 15):
        yield message(kind)
    for kind in (4, 13, 17):
        yield message(kind, struct.pack(">I", 7))
    for kind in (6, 8, 16):
        yield message(kind, triple)
    yield message(5, b"\xff\xf0")
    yield message(9, b"\x1a\xe1")
    yield message(20, b"\0" + next(handshakes()))
    yield message(7, struct.pack(">II", 1, 0) + b"block")


def wire_bodies():
    yield from (whole[4:] for whole in wire_messages())
    yield b"\x13BitTorrent protocol" + b"\0\0\0\0\0\x10\0\x04" + HASH + HASH


def wire_streams():
    """Eight bytes that choose the reads, and a stream: messages, full blocks, one that is too long."""
    block = message(7, struct.pack(">II", 3, 16384) + bytes(16384))
    talk = b"".join(wire_messages())
    yield bytes((1, 2, 3, 5, 8, 13, 21, 34)) + talk
    yield bytes((80, 0, 80, 13, 64, 255, 9, 4)) + block * 3 + talk + block + b"\0\0\0\0"
    yield bytes((255,) * 8) + block + message(7, bytes(8 + 16385)) + block
    yield bytes((17,) * 8) + talk + struct.pack(">IB", 1 << 20, 5) + bytes(100)


def compressed():
    text = b"d5:peers0:e" * 9
    yield b"\x10" + gzip.compress(text)
    yield b"\x10" + zlib.compress(text)
    yield b"\x10" + zlib.compress(text)[2:-4]
    yield b"\x04" + gzip.compress(bytes(100000))


def mountinfos():
    yield b"36 35 98:0 /mnt1 /mnt2\\040x rw,noatime master:1 - fuse.swarmfs /dev/root\\011 rw,errors=continue\n" * 2
    yield b"Name:\tcat\nState:\tS (sleeping)\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000002\nSigBlk:\t0000000000000000\n"
    yield b"4 (a) b) S 1 4 4 0 -1 4194560 1 0"
    yield b"folio_wait_bit_common"


def resumes():
    """Without the checksum, which the target adds."""
    start = b"swarmfsR" + struct.pack(">I", 1) + HASH + struct.pack(">IQ", 16384, 16384 * 20 + 1)
    peer = bytes(10) + b"\xff\xff\1\2\3\4\x1a\xe1"
    yield start + bytes(3) + struct.pack(">H", 0)
    yield start + b"\xff\xff\xf8" + struct.pack(">IBIB", 29000000, 20, 0, 1) + struct.pack(">H", 2) + peer * 2


TARGETS = {
    "bencode": bencodes,
    "extension": handshakes,
    "http_url": urls,
    "inflate_body": compressed,
    "krpc": krpc,
    "lsd": lsd_messages,
    "magnet": magnets,
    "message_reader": wire_streams,
    "metainfo": torrents,
    "mountinfo": mountinfos,
    "peer_wire": wire_bodies,
    "resume": resumes,
    "tracker_reply": tracker_replies,
    "udp_tracker": udp_trackers,
    "ut_metadata": metadata_messages,
    "ut_pex": pex_messages,
}


def main():
    for target, seeds in TARGETS.items():
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"seed{number:03}").write_bytes(seed)


if __name__ == "__main__":
    main()
