"""A server on loopback whose answers a test makes up."""

from __future__ import annotations

import contextlib
import http.server
import threading


@contextlib.contextmanager
def served(answer):
    """A server on loopback whose every GET is answered with what `answer` makes of it.

    That is JSON, or a tuple of status, content type and body.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            told = answer(self)
            status, kind, body = told if isinstance(told, tuple) else (200, "application/json", told)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
