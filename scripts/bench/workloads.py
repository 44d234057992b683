"""What the reader does. A workload takes a live subject and a Trace and returns figures; every byte it reads is checked."""
import os
import random
import signal
import subprocess
import time

from subjects import largest, open_largest, source_of

MIB = 1 << 20


class Trace:
    """Each read's latency, and bytes over time: what the charts are drawn from."""

    BIN = 0.25  # seconds
    KEEP = 4000  # latencies kept: beyond that every second, fourth, ... only

    def __init__(self):
        self.began, self.latencies, self.stride, self.seen, self.bins = time.monotonic(), [], 1, 0, {}

    def note(self, latency, count):
        self.seen += 1
        if self.seen % self.stride == 0:
            self.latencies.append(latency)
            if len(self.latencies) > self.KEEP:
                self.latencies, self.stride = self.latencies[::2], self.stride * 2
        slot = int((time.monotonic() - self.began) / self.BIN)
        self.bins[slot] = self.bins.get(slot, 0) + count

    def value(self):
        rates = [self.bins.get(k, 0) / self.BIN / MIB for k in range(max(self.bins, default=-1) + 1)]
        return {"latencies_s": sorted(self.latencies), "bin_s": self.BIN, "mib_s": rates}


def read_exactly(file, count, at, trace):
    """As many bytes as there are, up to `count`; noted as one read."""
    began, data = time.monotonic(), b""
    while len(data) < count:
        more = file.pread(count - len(data), at + len(data))
        if not more:
            break
        data += more
    trace.note(time.monotonic() - began, len(data))
    return data


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))] if ordered else float("inf")


def sequential(mount, trace, limit=None):
    """Reads the largest file from start to end."""
    file, source = open_largest(mount)
    began, at, worst, first = time.monotonic(), 0, 0.0, None
    while at < file.size and (limit is None or at < limit):
        t = time.monotonic()
        data = read_exactly(file, 256 << 10, at, trace)
        if first is None:
            first = time.monotonic() - mount.started
        else:
            worst = max(worst, time.monotonic() - t)
        if data != source.read(len(data)) or not data:
            raise AssertionError(f"wrong bytes at {at}")
        at += len(data)
    took = time.monotonic() - began
    file.close()
    cost = mount.cost()
    per_gib = (cost["user_s"] + cost["sys_s"]) / (at / (1 << 30))
    return {"mount_s": mount.live_s, "first_byte_s": first, "mib_s": at / took / MIB, "worst_read_s": worst, "seconds": took,
            "cpu_s_per_gib": per_gib, **cost}


def seek(mount, trace, count=24, size=64 << 10, seed=7):
    """Cold seeks: `count` reads of `size` bytes at random offsets, one after the other."""
    file, source = open_largest(mount, random_access=True)
    rng, latencies, first = random.Random(seed), [], None
    for _ in range(count):
        at = rng.randrange(0, (file.size - size) >> 14) << 14
        began = time.monotonic()
        data = read_exactly(file, size, at, trace)
        latencies.append(time.monotonic() - began)
        first = first if first is not None else time.monotonic() - mount.started
        source.seek(at)
        if data != source.read(size):
            raise AssertionError(f"wrong bytes at {at}")
    file.close()
    latencies.sort()
    return {"first_byte_s": first, "total_s": sum(latencies), "p50_s": quantile(latencies, 0.5), "p90_s": quantile(latencies, 0.9),
            "max_s": latencies[-1], **mount.cost()}


def play(mount, trace, mbit=8, seconds=40, jump_every=10):
    """A player: opens, probes head and tail, plays at a bitrate from a 2 s buffer, jumps every `jump_every` s of wall time.
    Counts waiting from the viewer's side."""
    file, source = open_largest(mount)
    rng, rate, chunk = random.Random(3), mbit * 125_000, 64 << 10
    opened = time.monotonic()
    read_exactly(file, chunk, 0, trace)
    read_exactly(file, chunk, max(0, file.size - chunk), trace)
    at = base = 0
    stalled, stalls, pictures = 0.0, 0, []
    playing_since, jumped = None, opened
    while time.monotonic() < opened + seconds:
        data = read_exactly(file, chunk, at, trace)
        now = time.monotonic()
        if not data:
            at = base = 0
            continue
        source.seek(at)
        if data != source.read(len(data)):
            raise AssertionError(f"wrong bytes at {at}")
        at += len(data)
        have = at - base
        if playing_since is None:
            if have >= rate // 2:  # half a second buffered: a picture
                playing_since = now
                pictures.append(now - jumped)
            continue
        played = (now - playing_since) * rate
        if played > have:
            stalls += 1
            stalled += (played - have) / rate
            playing_since += (played - have) / rate
        elif have - played > 2 * rate:
            time.sleep(min(0.25, (have - played - 2 * rate) / rate + 0.01))
        if time.monotonic() >= jumped + jump_every:
            at = base = rng.randrange(file.size // 2) & ~0xFFFF
            playing_since, jumped = None, time.monotonic()
    file.close()
    after_seeks = sorted(pictures[1:])
    return {"open_to_picture_s": mount.live_s + (pictures[0] if pictures else float("inf")),
            "seek_to_picture_p50_s": quantile(after_seeks, 0.5), "seek_to_picture_max_s": after_seeks[-1] if after_seeks else float("inf"),
            "stalls": stalls, "stalled_s": stalled, **mount.cost()}


def reread(mount, trace, mib=256):
    """Warm: the daemon has the data (in memory or in its cache file), the mount's own page cache has been dropped."""
    path = largest(mount.path)
    size = min(mib * MIB, os.stat(path).st_size)
    file = os.open(path, os.O_RDONLY)

    def pass_over(random_access):
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM if random_access else os.POSIX_FADV_NORMAL)

    def read(count, at):
        began = time.monotonic()
        data = os.pread(file, count, at)
        trace.note(time.monotonic() - began, len(data))

    def sequential_rate():
        began = time.monotonic()
        for at in range(0, size, MIB):
            read(MIB, at)
        return size / (time.monotonic() - began) / MIB

    sequential_rate()  # cold: fetches it
    before, figures = mount.cost(), {}
    pass_over(random_access=False)
    figures["warm_seq_mib_s"] = sequential_rate()
    pass_over(random_access=True)
    rng, count = random.Random(1), 4000
    began = time.monotonic()
    for _ in range(count):
        read(16 << 10, rng.randrange(size >> 14) << 14)
    figures["warm_rand16k_iops"] = count / (time.monotonic() - began)
    pass_over(random_access=False)
    sequential_rate()
    figures["page_cache_mib_s"] = sequential_rate()
    after = mount.cost()
    os.close(file)
    figures["cpu_s"] = after["user_s"] + after["sys_s"] - before["user_s"] - before["sys_s"]
    return {**figures, "rss_mib": after["rss_mib"]}


def freeze(mount, trace, readers=100):
    """No data will ever come. Is the mount still alive around the blocked readers, and does everything let go?
    Half of the readers leave SIGINT alone (tail: a fatal signal frees them in the kernel), half handle it (dd: only an
    answered read does)."""
    path, quiet = largest(mount.path), {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    commands = [
        ["tail", "-c", f"+{k << 22 | 1}", path] if k % 2 == 0 else ["dd", f"if={path}", "bs=64k", f"skip={k * 97}", "count=1"]
        for k in range(readers)
    ]
    waiting = [subprocess.Popen(command, **quiet) for command in commands]
    time.sleep(2)  # the readers have been blocked for a while: the state to measure
    figures = {"blocked": sum(process.poll() is None for process in waiting)}
    try:
        for name, command in (("ls_s", ["ls", "-lR", mount.path]), ("df_s", ["df", mount.path]), ("stat_s", ["stat", path + "x"])):
            began = time.monotonic()
            try:
                subprocess.run(command, timeout=10, check=False, **quiet)
                figures[name] = time.monotonic() - began
                trace.note(figures[name], 0)
            except subprocess.TimeoutExpired:
                figures[name] = float("inf")
        targets = (("interrupt_s", waiting[0], signal.SIGINT), ("interrupt_handled_s", waiting[1], signal.SIGINT),
                   ("sigterm_s", mount.process, signal.SIGTERM))
        for name, process, number in targets:
            began = time.monotonic()
            process.send_signal(number)
            try:
                process.wait(10)
                figures[name] = time.monotonic() - began
                trace.note(figures[name], 0)
            except subprocess.TimeoutExpired:
                figures[name] = float("inf")
        mount.process.kill()
        deadline, left = time.monotonic() + 3, 0
        for process in waiting:
            try:
                process.wait(max(0.01, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                left += 1
        figures["readers_left"] = left
        with open("/proc/mounts", encoding="utf-8") as file:
            figures["still_mounted"] = int(mount.path in file.read())
    finally:
        for process in waiting:
            process.kill()
    return figures


def many_files(mount, trace):
    """Lists the whole tree, then reads every file of it once, in order."""
    began = time.monotonic()
    subprocess.run(["ls", "-lR", mount.path], stdout=subprocess.DEVNULL, check=True)
    ls_s = time.monotonic() - began
    began, count, total = time.monotonic(), 0, 0
    for folder, folders, files in os.walk(mount.path):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            t = time.monotonic()
            with open(path, "rb") as file:
                data = file.read()
            trace.note(time.monotonic() - t, len(data))
            with open(source_of(path, mount.path, mount.payload), "rb") as source:
                if data != source.read():
                    raise AssertionError(f"wrong bytes in {path}")
            count, total = count + 1, total + len(data)
    took = time.monotonic() - began
    return {"ls_s": ls_s, "files": count, "pass_s": took, "mib_s": total / took / MIB, **mount.cost()}
