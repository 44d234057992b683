#!/usr/bin/python3
"""The lab: real seeds, real networks, one reader; the same work for every subject.

    lab.py SCENARIO... [--subject swarmfs,btfs,webtorrent,bindfs] [--runs N] [--json FILE] [--charts FOLDER]
    lab.py --list | --clean

Each run starts cold: no cache, fresh mount. Everything printed was measured in this call; compare subjects only within one
call. One picture a scenario is written to FOLDER (default build/bench).

Needs root (namespaces, mounts) and what scripts/install_deps installs; the alternatives come with `setup` here. SWARMFS
names the binary under test (default build/release/swarmfs), SWARMFS_FLAGS adds options to it, LAB_DIR is a scratch folder
with about 3 GiB free (default: swarmfs-lab in the temporary folder; kept between calls until --clean).
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import chart
from lab_dir import LAB_DIR, TAG
from networks import delete_namespaces
from scenarios import SCENARIOS
from subjects import ROOT, subject_class
from workloads import Trace


def run(name, subject):
    """One cold run of a scenario; its figures and its trace."""
    scenario = SCENARIOS[name]
    with scenario.network() as net:
        payload, torrent_file = scenario.make(net)
        with scenario.start_swarm(net, payload, torrent_file):
            mount = subject_class(subject)(subject, net, torrent_file, payload)
            with mount:
                trace = Trace()
                figures = scenario.workload(mount, trace, **scenario.options)
            figures["unmount_s"] = mount.unmount_s
            if mount.hung:
                figures["unmount_hung"] = True
            return {**figures, "trace": trace.value()}


def clean_up_run():
    """What a run that was killed may have left: its mounts, its namespaces, its scratch folders."""
    with open("/proc/mounts", encoding="utf-8") as file:
        for path in [line.split()[1] for line in file]:
            if path.startswith(f"{LAB_DIR}/run-{TAG}-"):
                subprocess.run(["fusermount3", "-uz", path], check=False)
    delete_namespaces()
    if os.path.isdir(LAB_DIR):
        for name in os.listdir(LAB_DIR):
            if name.startswith(f"run-{TAG}-"):
                shutil.rmtree(os.path.join(LAB_DIR, name), ignore_errors=True)


def run_in_child(name, subject, timeout):
    """run() in a process group of its own, so that a subject that hangs costs only this run."""
    command = [sys.executable, "-B", os.path.abspath(__file__), "--one", name, subject]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                break
            time.sleep(1)
        out, err = child.communicate()
        err += f"\nnot done after {timeout} s"
    finally:
        clean_up_run()
    for line in out.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[len("RESULT ") :])
    return {"error": (err.strip().splitlines() or ["no result"])[-1]}


def shown(figures):
    return " ".join(f"{k}={v:.3f}" if isinstance(v, float) else f"{k}={v}" for k, v in figures.items() if k != "trace")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", help="default: all")
    parser.add_argument("--list", action="store_true", help="names the scenarios")
    parser.add_argument("--clean", action="store_true", help="removes LAB_DIR")
    parser.add_argument("--subject", default="swarmfs", help="comma-separated")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=240, help="seconds a run may take")
    parser.add_argument("--json", help="file for all figures")
    parser.add_argument("--charts", default=os.path.join(ROOT, "build/bench"), help="folder for the pictures")
    options = parser.parse_args()
    if options.list:
        print("\n".join(SCENARIOS))
        return 0
    if options.clean:
        shutil.rmtree(LAB_DIR, ignore_errors=True)
        return 0
    unknown = [name for name in options.scenario if name not in SCENARIOS]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)} (see --list)")
    if os.geteuid() != 0:
        parser.error("mounts and namespaces need root")

    os.makedirs(LAB_DIR, exist_ok=True)
    os.makedirs(options.charts, exist_ok=True)
    table = []
    for name in options.scenario or list(SCENARIOS):
        rows = []
        for number in range(options.runs):
            for subject in options.subject.split(","):
                figures = run_in_child(name, subject, options.timeout)
                print(name, subject, shown(figures), flush=True)
                rows.append({"scenario": name, "subject": subject, "run": number, **figures})
        path = os.path.join(options.charts, f"{name}.svg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(chart.draw(name, rows))
        print(f"{name}: picture in {path}", flush=True)
        table += rows
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(table, file, indent=1)
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--one":
        print("RESULT", json.dumps(run(sys.argv[2], sys.argv[3])))
        sys.exit(0)
    sys.exit(main())
