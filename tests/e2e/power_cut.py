"""What a disk may hold after a power cut, from a recording of what was done to it (disk_faults.cpp).

The rules are those that ext4, xfs and btrfs keep and no more: bytes of a file are there when an fsync or fdatasync of that
file, begun after they were written, has ended; otherwise each write is there, or not, or in part, and later ones may be there
without earlier ones. Names (made, renamed, removed) come in the order in which they were done, and all are there that were
done before an fsync of anything began that has ended.
"""
import os

from harness import read_all

SECTOR = 512

BYTES = ("pwrite", "pwritev", "write", "ftruncate", "fallocate")
NAMES = ("create", "mkdir", "rename", "unlink")
SYNCS = ("fsync", "fdatasync")


class Op:
    """One call: from line `begin` of the recording to line `end` (None: never ended)."""

    def __init__(self, begin, fields):
        self.begin, self.end, self.result = begin, None, None
        self.name, self.path, self.path2 = fields[2], fields[6], fields[7]
        self.inode, self.offset, self.size = (int(field) for field in fields[3:6])
        self.data, self.file = bytes.fromhex(fields[8]), None

    def failed(self):
        return self.end is not None and self.result < 0


class Recording:
    """Of what is done to the directory `root` from now on; what it has now is safe on the disk."""

    def __init__(self, root):
        self.root, self.ops, self.lines = root, [], []
        self.first = {}  # path: (file, content)
        self.known = {}  # inode: file; numbers are used again when a file is gone
        for folder, _, names in os.walk(root):
            for path in (os.path.join(folder, name) for name in names):
                self.first[path] = (path, read_all(path))
                self.known[os.stat(path).st_ino] = path

    def read(self, path):
        """What the library wrote down."""
        running = {}
        with open(path, encoding="utf-8") as file:
            self.lines = [line.rstrip("\n").split("\t") for line in file]
        for line, fields in enumerate(self.lines):
            if fields[0] == "b":
                op = running[fields[1]] = Op(line, fields)
                op.file = self.known.get(op.inode)
                self.ops.append(op)
            else:
                op = running[fields[1]]
                op.end, op.result = line, int(fields[2])
                if op.name == "create" and op.result >= 0:
                    op.file = self.known[int(fields[3])] = f"{op.path} made in line {line}"

    def is_safe(self, op, moment):
        """Whether nothing can take it away when the power goes before line `moment`."""
        if op.end is None or op.end >= moment:
            return False
        syncs = (s for s in self.ops if s.name in SYNCS and s.begin > op.end and s.end is not None and s.end < moment)
        return any(s.result == 0 and (op.name in NAMES or s.file == op.file) for s in syncs)

    def after_cut(self, moment, choice=None):
        """{path: content} as the disk may be when the power goes before line `moment`. A random generator chooses; without
        one it is the least that must be there."""
        begun = [op for op in self.ops if op.begin < moment and not op.failed()]
        names = {path: file for path, (file, _) in self.first.items()}
        files = {file: bytearray(content) for file, content in self.first.values()}
        for op in (op for op in begun if op.name in BYTES and op.file is not None):
            safe = self.is_safe(op, moment)
            if safe or (choice and choice.random() < 0.5):
                self.apply_bytes(op, files.setdefault(op.file, bytearray()), None if safe else choice)
        changes = [op for op in begun if op.name in NAMES]
        safe = max((k + 1 for k, op in enumerate(changes) if self.is_safe(op, moment)), default=0)
        for op in changes[: choice.randint(safe, len(changes)) if choice else safe]:
            self.apply_name(op, names)
        return {path: bytes(files.get(file, b"")) for path, file in names.items()}

    def apply_bytes(self, op, content, choice):
        if op.name == "ftruncate":
            del content[op.size :]
            content.extend(bytes(op.size - len(content)))
            return
        begin, data = op.offset, op.data
        if op.name == "fallocate":  # it only makes holes here
            data = bytes(max(0, min(op.size, len(content) - op.offset)))
        if choice and choice.random() < 0.5:  # in part: some sectors from somewhere in it
            low, high = sorted(choice.randrange(len(data) // SECTOR + 2) * SECTOR for _ in range(2))
            begin, data = begin + min(low, len(data)), data[low:high]
        content.extend(bytes(max(0, begin + len(data) - len(content))))
        content[begin : begin + len(data)] = data

    @staticmethod
    def apply_name(op, names):
        if op.name == "create":
            names[op.path] = op.file or op.path
        elif op.name == "unlink":
            names.pop(op.path, None)
        elif op.name == "rename" and op.path in names:
            names[op.path2] = names.pop(op.path)

    def make(self, state, root):
        """The files of a state as a cache directory."""
        for path, content in state.items():
            path = os.path.join(root, os.path.relpath(path, self.root))
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
