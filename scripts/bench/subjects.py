"""What is measured: programs that mount a torrent, or (webtorrent) serve it over HTTP."""
import http.client
import os
import shlex
import shutil
import subprocess
import tempfile
import time

from lab_dir import LAB_DIR, TAG

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SWARMFS = os.path.abspath(os.environ.get("SWARMFS", os.path.join(ROOT, "build/release/swarmfs")))
START_LIMIT = 60  # seconds until a subject must show its files
STOP_LIMIT = 10


def process_tree(pid):
    pids = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                for child in file.read().split():
                    pids += process_tree(int(child))
    except OSError:
        pass
    return pids


class Mount:
    """A subject's live mount at .path. Starts cold: its own cache folder, a fresh mountpoint."""

    def __init__(self, subject, net, torrent_file, payload, flags=()):
        self.subject, self.net, self.torrent, self.payload, self.flags = subject, net, torrent_file, payload, list(flags)
        self.hung, self.path = False, None

    def command(self, data):
        if self.subject.startswith("swarmfs"):
            extra = shlex.split(os.environ.get("SWARMFS_FLAGS", ""))
            return [SWARMFS, "-f", "--cache-dir", data, *extra, *self.flags, self.torrent, self.path]
        if self.subject == "btfs":
            ports = ["--min-port=7881", "--max-port=7889"]
            return ["btfs", "-f", *ports, f"--data-directory={data}", *self.flags, self.torrent, self.path]
        if self.subject == "bindfs":  # the ceiling: a plain passthrough of a local file, no torrent at all
            os.makedirs(f"{data}/x")
            os.link(self.payload, f"{data}/x/{os.path.basename(self.payload)}")
            return ["bindfs", "-f", "--no-allow-other", "-r", "--multithreaded", f"{data}/x", self.path]
        raise SystemExit(f"no such subject: {self.subject}")

    def start(self, command, **kw):
        self.log_path = f"{self.folder}/log"
        environment = dict(os.environ, HOME=self.folder, XDG_CACHE_HOME=f"{self.folder}/xdg")
        self.started = time.monotonic()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **kw)

    def wait_until_live(self, live):
        while not live():
            if self.process.poll() is not None:
                with open(self.log_path, encoding="utf-8", errors="replace") as log:
                    raise RuntimeError(f"{self.subject} ended with {self.process.returncode}: {log.read()[-500:]}")
            if time.monotonic() - self.started > START_LIMIT:
                raise RuntimeError(f"{self.subject} did not come up")
            time.sleep(0.002)
        self.live_s = time.monotonic() - self.started

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix=f"run-{TAG}-{self.subject}-", dir=LAB_DIR)
        self.path = f"{self.folder}/m"
        os.mkdir(self.path)
        os.mkdir(f"{self.folder}/d")
        own_device = os.stat(self.folder).st_dev

        def live():
            try:
                return os.stat(self.path).st_dev != own_device and os.listdir(self.path)
            except OSError:
                return False

        self.start(self.net.prefix("reader") + self.command(f"{self.folder}/d"))
        try:
            self.wait_until_live(live)
        except BaseException:
            self.__exit__()
            raise
        return self

    def cost(self):
        """CPU seconds (user, system) and peak RSS in MiB so far."""
        user = system = peak = 0
        for pid in process_tree(self.process.pid):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                user, system = user + int(fields[11]), system + int(fields[12])
                with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                    peak += sum(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
            except OSError:
                pass
        ticks = os.sysconf("SC_CLK_TCK")
        return {"user_s": user / ticks, "sys_s": system / ticks, "rss_mib": round(peak / 1024, 1)}

    def __exit__(self, *_):
        began = time.monotonic()
        subprocess.run(["fusermount3", "-u", "-z", self.path], stderr=subprocess.DEVNULL, check=False)
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.hung = True
        self.unmount_s = time.monotonic() - began
        shutil.rmtree(self.folder, ignore_errors=True)


class Web(Mount):
    """webtorrent-cli: the same files over HTTP, for subjects that do not mount."""

    port = 8123

    def __enter__(self):
        program = os.environ.get("WEBTORRENT")
        if not program:
            raise SystemExit("webtorrent: run setup and export what it prints")
        self.folder = tempfile.mkdtemp(prefix=f"run-{TAG}-{self.subject}-", dir=LAB_DIR)
        self.net.enter_reader()
        options = ["--port", str(self.port), "--out", f"{self.folder}/d", "--keep-seeding", "--quiet"]

        def live():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                connection.request("GET", "/")
                connection.getresponse().read()
                return True
            except OSError:
                return False

        self.start(["node", program, "download", self.torrent, *options], cwd=self.folder)
        try:
            self.wait_until_live(live)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.unmount_s = 0.0
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def subject_class(name):
    return Web if name == "webtorrent" else Mount


# ---------------------------------------------------------------- reading from a subject
class LocalFile:
    def __init__(self, path, random_access):
        self.fd = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size
        if random_access:
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)

    def pread(self, count, at):
        return os.pread(self.fd, count, at)

    def close(self):
        os.close(self.fd)


class RemoteFile:
    """pread over HTTP ranges; a forward read goes on with the open response, as a player does."""

    def __init__(self, port, name, size):
        self.port, self.url, self.size, self.reply, self.at = port, f"/0/{name}", size, None, -1

    def pread(self, count, at):
        if self.reply is None or at != self.at:
            self.close()
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            self.connection.request("GET", self.url, headers={"Range": f"bytes={at}-"})
            self.reply, self.at = self.connection.getresponse(), at
            if self.reply.status != 206:
                raise RuntimeError(f"HTTP {self.reply.status}")
        data = self.reply.read(min(count, self.size - at))
        self.at += len(data)
        return data

    def close(self):
        if self.reply is not None:
            self.connection.close()


def largest(root):
    best = (0, None)
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            best = max(best, (os.stat(path).st_size, path))
    return best[1]


def source_of(path, root, payload):
    relative = os.path.relpath(path, root)
    for candidate in (os.path.join(os.path.dirname(payload), relative), os.path.join(payload, relative)):
        if os.path.isfile(candidate):
            return candidate
    raise RuntimeError(f"{relative} is not in the payload")


def open_largest(mount, random_access=False):
    """(the largest file as the subject shows it, its source)."""
    if mount.path is None:
        return RemoteFile(mount.port, os.path.basename(mount.payload), os.stat(mount.payload).st_size), open(mount.payload, "rb")
    path = largest(mount.path)
    return LocalFile(path, random_access), open(source_of(path, mount.path, mount.payload), "rb")
