"""A small HTTP server of a test's own on the loopback."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def listening(handler, context=None):
    """Serve by ``handler``, with TLS where there is a ``context``; yields host and port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
