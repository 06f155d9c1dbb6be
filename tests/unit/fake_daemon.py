# SPDX-License-Identifier: BSD-2-Clause
"""A daemon for the tool to talk to: HTTP on a unix socket, answers set by the test, requests remembered."""
import http.server
import json
import socketserver
import threading


class FakeDaemon:
    def __init__(self, path):
        self.path = path
        self.if_match = []  # headers of that name, of the requests that had one
        self.requests = []  # (method, path with query, body)
        self.turns = {}  # (method, path with query) -> [(status, bytes)]
        self.answers = {}  # (method, path with query) -> (status, bytes)
        self.released = threading.Event()  # answers of ("GET", "/v1/hang") wait for it
        self.hanging = set()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def address_string(self):
                return "client"

            def log_message(self, *args):
                pass

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                key = (self.command, self.path)
                fake.requests.append(key + (body,))
                if self.headers.get("If-Match"):
                    fake.if_match.append(self.headers["If-Match"])
                if key in fake.hanging:
                    fake.released.wait(60)
                    return
                status, answer = fake.next_answer(key)
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    if answer:
                        self.wfile.write(answer)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the tool has seen enough

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(path, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def answer(self, method, path, body, status=200):
        self.answers[(method, path)] = (status, body if isinstance(body, bytes) else (json.dumps(body) + "\n").encode())

    def answer_in_turn(self, method, path, *bodies):
        """A body a request; from the last one on, that."""
        for body in bodies:
            self.answer(method, path, body)
            self.turns.setdefault((method, path), []).append(self.answers[(method, path)])

    def next_answer(self, key):
        if turns := self.turns.get(key):
            return turns.pop(0) if len(turns) > 1 else turns[0]
        return self.answers.get(key, (404, error_body("not_found", f"{key[1]}: no such resource")))

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def error_body(code, message, hint="", diagnostics=()):
    return json.dumps({"schema": "xebec.error/1", "error": {"code": code, "message": message, "hint": hint,
                                                            "diagnostics": list(diagnostics)}}).encode()
