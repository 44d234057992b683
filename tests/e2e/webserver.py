"""A web server on loopback that serves a folder with ranges, keeps connections, and misbehaves as told."""
import http.server
import os
import re
import socketserver
import ssl
import subprocess
import threading
import time
import urllib.parse

HOST = "127.0.0.1"


def make_certificate(case):
    """A file with a key and a certificate for this host, signed by itself."""
    path = os.path.join(case.new_dir("tls"), "both.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", f"subjectAltName=IP:{HOST}", "-keyout", path + ".key", "-out", path + ".crt"]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    with open(path, "w", encoding="ascii") as out:
        for part in (path + ".key", path + ".crt"):
            with open(part, encoding="ascii") as file:
                out.write(file.read())
    return path


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        server = self.server.owner
        server.note(self)
        time.sleep(server.delay)
        for status, headers in server.next_answers():
            return self._empty(status, headers)
        path = os.path.join(server.root, urllib.parse.unquote(self.path.split("?")[0]).lstrip("/"))
        if not os.path.isfile(path):
            return self._empty(404)
        size = os.path.getsize(path)
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        begin, end = (int(span[1]), min(int(span[2]) + 1, size)) if span and server.ranges else (0, size)
        if begin >= size:
            return self._empty(416)
        self.send_response(206 if span and server.ranges else 200)
        if span and server.ranges:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        with open(path, "rb") as file:
            file.seek(begin)
            while begin < end:
                part = server.lie(file.read(min(server.step, end - begin)))
                time.sleep(server.pause)
                server.sent += len(part)  # before the client can look
                self.wfile.write(part)
                begin += len(part)

    def _empty(self, status, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass  # the client has hung up


class WebServer:
    """`lies`: every byte is wrong. `ranges`: it knows them. `delay`: before an answer. It is sent in `step`s with a `pause`
    before each. `answers`: (status, headers) of the first requests. `certificate`: a file with its key; https."""

    def __init__(self, case, root, lies=False, ranges=True, delay=0.0, step=1 << 16, pause=0.0, answers=(), certificate=None):
        self.root, self.ranges, self.delay, self.sent = root, ranges, delay, 0
        self.step, self.pause = step, pause
        self.lie = (lambda part: bytes(255 - b for b in part)) if lies else (lambda part: part)
        self.requests, self.clients, self._answers = [], set(), list(answers)
        self._server = _Server((HOST, 0), _Handler)
        self._server.owner = self
        self.port, self._scheme = self._server.server_address[1], "https" if certificate else "http"
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        case.addCleanup(self.stop)

    def note(self, handler):
        self.requests.append((handler.path, handler.headers.get("Range")))
        self.clients.add(handler.client_address)

    def next_answers(self):
        return [self._answers.pop(0)] if self._answers else []

    def url(self, path="/"):
        return f"{self._scheme}://{HOST}:{self.port}{path}"

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
