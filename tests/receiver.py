"""A receiver of hooks for tests: HTTPS with a CA of its own, or HTTP, which can be slow, refuse, and be away.

    r = Receiver(folder, tls=True)      # .url, .ca; listens at once
    r.status = 500; r.delay_s = 3       # what it does from now on; r.answer: the body
    r.got                               # what came: .headers (lower case), .json, .body, .at
    r.stop(); r.start()                 # away, and back on the same port
"""
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time


class Got:
    def __init__(self, headers, body, path):
        self.headers, self.body, self.path = {k.lower(): v for k, v in headers.items()}, body, path
        self.at = time.monotonic()

    @property
    def json(self):
        return json.loads(self.body)


def certificates(folder):
    """A CA and a certificate of it for 127.0.0.1."""
    def ssl_tool(*args):
        subprocess.run(["openssl", *args], check=True, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
    ssl_tool("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "r-ca.key", "-out", "r-ca.crt", "-days", "2",
             "-subj", "/CN=receiver CA", "-addext", "basicConstraints=critical,CA:TRUE")
    ssl_tool("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "r.key", "-out", "r.csr", "-subj", "/CN=127.0.0.1")
    with open(os.path.join(folder, "r.ext"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    ssl_tool("x509", "-req", "-in", "r.csr", "-CA", "r-ca.crt", "-CAkey", "r-ca.key", "-CAcreateserial", "-out",
             "r.crt", "-days", "2", "-extfile", "r.ext")
    return os.path.join(folder, "r-ca.crt")


class Receiver:
    def __init__(self, folder, tls=False, port=0):
        self.folder, self.tls, self.port, self.server = folder, tls, port, None
        self.status, self.delay_s, self.answer, self.got = 200, 0, b"", []
        self.lock, self.open, self.most = threading.Lock(), 0, 0
        self.connections = set()
        self.ca = certificates(folder) if tls else None
        self.start()

    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                outer.connections.add(self.connection)

            def finish(self):
                outer.connections.discard(self.connection)
                try:
                    super().finish()
                except OSError:
                    pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    outer.open += 1
                    outer.most = max(outer.most, outer.open)
                    outer.got.append(Got(self.headers, body, self.path))
                deadline = time.monotonic() + outer.delay_s
                while time.monotonic() < deadline and outer.delay_s:
                    time.sleep(0.02)
                with outer.lock:
                    outer.open -= 1
                try:
                    self.send_response(outer.status)
                    self.send_header("Content-Length", str(len(outer.answer)))
                    self.end_headers()
                    self.wfile.write(outer.answer)
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 100

            def handle_error(self, request, address):
                pass  # who calls may break off

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(self.folder, "r.crt"), os.path.join(self.folder, "r.key"))
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = "%s://127.0.0.1:%d/hook" % ("https" if self.tls else "http", self.port)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Away: also for who has kept a connection, which its thread would go on to serve."""
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def of(self, kind, name=None):
        """What came of this type, and of this name."""
        return [g for g in list(self.got) if g.json["type"] == kind and name in (None, g.json["name"])]
