#!/usr/bin/python3
"""The physical limit of a scenario's network: plain TCP from every seed address at once, nothing else on the line.
limit.py SCENARIO [SECONDS]   -> MiB/s over the whole time and over its second half"""
import os
import socket
import subprocess
import sys
import threading
import time

from scenarios import SCENARIOS

PORT = 7000
SERVE = f"""
import socket, sys, threading
def talk(connection):
    block = b"x" * (1 << 18)
    try:
        while True: connection.sendall(block)
    except OSError: pass
def listen(ip):
    server = socket.create_server((ip, {PORT}))
    while True: threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()
for ip in sys.argv[1:]: threading.Thread(target=listen, args=(ip,), daemon=True).start()
print("ready", flush=True); threading.Event().wait()
"""


def main():
    name, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    scenario = SCENARIOS[name]
    with scenario.network() as net:
        ips = [net.seed_ip(k) for k in range(1, scenario.seeds + 1)]
        command = net.prefix("seeds") + ["/usr/bin/python3", "-c", SERVE, *ips]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            server.stdout.readline()
            net.enter_reader()
            got = [0] * len(ips)

            def pull(k):
                while True:
                    try:  # its listener may be a moment later than "ready"
                        connection = socket.create_connection((ips[k], PORT))
                        break
                    except ConnectionRefusedError:
                        time.sleep(0.01)
                while True:
                    got[k] += len(connection.recv(1 << 18))

            began = time.monotonic()
            for k in range(len(ips)):
                threading.Thread(target=pull, args=(k,), daemon=True).start()
            time.sleep(seconds / 2)
            half, half_time = sum(got), time.monotonic()
            time.sleep(seconds / 2)
            end, total = time.monotonic(), sum(got)
            whole, second = total / (end - began), (total - half) / (end - half_time)
            print(f"{name} whole={whole / 2**20:.2f} MiB/s second_half={second / 2**20:.2f} MiB/s", flush=True)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
    os._exit(0)  # threads are still reading
