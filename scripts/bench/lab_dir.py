"""Where the lab keeps things, and what marks the things of one call."""
import os
import tempfile

# Payloads, torrents and the cable's binary stay here from call to call (about 3 GiB); `lab.py --clean` removes it.
LAB_DIR = os.environ.get("LAB_DIR", os.path.join(tempfile.gettempdir(), "swarmfs-lab"))

# In the names of namespaces and devices (at most 15 characters) and of scratch folders. Children inherit it.
TAG = os.environ.setdefault("LAB_TAG", str(os.getpid()))
