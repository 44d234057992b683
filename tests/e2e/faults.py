"""A cache directory whose system calls can be counted, failed, recorded, or be the last of the process (disk_faults.cpp)."""
import os

from harness import SWARMFS

LIBRARY = os.path.abspath(os.environ.get("SWARMFS_DISK_FAULTS", os.path.join(os.path.dirname(SWARMFS), "tests/libdisk_faults.so")))


class Faults:
    """For one mount: mount(..., cache=CACHE, environment=faults.environment)."""

    def __init__(self, case, cache):
        case.assertTrue(os.path.exists(LIBRARY), f"no {LIBRARY}: build disk_faults, or set SWARMFS_DISK_FAULTS")
        self.folder = case.new_dir("faults")
        self.environment = {"LD_PRELOAD": LIBRARY, "SWARMFS_FAULTS": self.folder, "SWARMFS_FAULTS_IN": os.path.realpath(cache)}

    def path(self, name):
        return os.path.join(self.folder, name)

    def set(self, name, value):
        """From now on; at once and as a whole."""
        with open(self.path("new"), "w", encoding="ascii") as file:
            file.write(str(value))
        os.rename(self.path("new"), self.path(name))

    def clear(self, name):
        os.remove(self.path(name))
