"""A real HTTP server that speaks OpenAI's chat completions and misbehaves on demand; it logs every
request.

`say(body, n)` answers the n-th request (from 1): a text, a dict for the whole answer, or one of the
faults below, which take the request's handler. What a probe asks is answered by `probed(body, n)`,
and has a log of its own.
"""

import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from act.dialogue.probe import QUESTION


class Fault:
    """An answer other than a good one."""

    def __init__(self, send):
        self.send = send


def status(code: int, body: dict | str = "", **headers: str) -> Fault:
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(lambda handler: handler.send(code, text, **named))


def retry_after_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def _reset(handler) -> None:
    """RST instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def _cut(handler) -> None:
    """Half of the bytes that were promised."""
    text = json.dumps(completion("never read"))
    handler.send(200, text[: len(text) // 2], length=len(text))
    handler.close_connection = True


HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"
HANG = Fault(lambda handler: time.sleep(3))
RESET = Fault(_reset)
CUT = Fault(_cut)
CUT_JSON = status(200, '{"choices": [{"message": {"conte')
HTML_PAGE = status(200, HTML, content_type="text/html")
QUOTA = status(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
LOADING = status(503, {"error": {"message": "Loading model", "type": "unavailable_error"}})


def completion(content, finish="stop", prompt_tokens=11, **more) -> dict:
    message = {"role": "assistant", "content": content}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 5}
    return {
        "model": "fake-2026-11",
        "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage | {"total_tokens": prompt_tokens + 5},
    } | more


class FakeServer:
    def __init__(self, say, delay=0.0, probed=lambda body, n: "OK."):
        self.requests: list[dict] = []  # {"body", "headers", "time", "path"} of each
        self.probes: list[dict] = []
        self.at_once, self.most_at_once = 0, 0
        lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                probe = body["messages"][-1] == QUESTION[-1]
                log, answering = (fake.probes, probed) if probe else (fake.requests, say)
                with lock:
                    asked = {"body": body, "headers": dict(self.headers), "path": self.path}
                    log.append(asked | {"time": time.monotonic()})
                    number = len(log)
                    fake.at_once += 1
                    fake.most_at_once = max(fake.most_at_once, fake.at_once)
                time.sleep(delay)
                answer = answering(body, number)
                with lock:
                    fake.at_once -= 1
                if isinstance(answer, Fault):
                    answer.send(self)
                else:
                    whole = answer if isinstance(answer, dict) else completion(answer)
                    self.send(200, json.dumps(whole))

            def send(self, code, text, length=None, **headers):
                raw = text if isinstance(text, bytes) else text.encode()
                head = {"content-type": "application/json", "content-length": length or len(raw)}
                lines = [f"{name}: {value}" for name, value in (head | headers).items()]
                lines = [f"HTTP/1.1 {code} -", *lines, "", ""]
                self.wfile.write("\r\n".join(lines).encode() + raw)
                self.wfile.flush()

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                """A client that hung up is no error of the server's."""

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@contextmanager
def serving(say, delay=0.0, **more):
    fake = FakeServer(say, delay, **more)
    try:
        yield fake
    finally:
        fake.server.shutdown()
        fake.server.server_close()
