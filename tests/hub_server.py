"""A small server with the part of the Hugging Face hub's interface that uploading a folder needs."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    address: str = ""
    token: str = "hf_right"
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  # paths whose next request gets a 403


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve a hub without repositories."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, content: Any = None) -> None:
            body = json.dumps(content if content is not None else {}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _serve(self) -> None:
            body, path = self._body(), urlsplit(self.path).path
            if self.command != "PUT" and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._answer(401, {"error": "Invalid username or password."})
            elif any(word in path for word in hub.failures):
                hub.failures.clear()
                self._answer(403, {"error": "You have no right to write here."})
            else:
                self._answer(*answer(hub, self.command, path, body))

        do_GET = do_POST = do_PUT = _serve

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def answer(hub: Hub, command: str, path: str, body: bytes) -> tuple[int, Any]:
    """Return status and content for a request."""
    if command == "PUT":
        hub.blobs[path.rsplit("/", 1)[1]] = body
        return 200, {}
    asked = json.loads(body) if body and not path.endswith("/commit/main") else {}
    if path == "/api/repos/create":
        place, is_model = f"{asked['organization']}/{asked['name']}", asked["type"] == "model"
        name, url = f"{asked['type']}s/{place}", f"{hub.address}/{'' if is_model else 'datasets/'}{place}"
        if name in hub.repositories:
            return 409, {"error": "it is there already", "url": url}
        hub.repositories[name], hub.private[name] = {}, asked.get("visibility") == "private" or asked.get("private")
        return 200, {"url": url}
    if path == "/api/validate-yaml":
        return 200, {"errors": [], "warnings": []}
    if path.endswith("/info/lfs/objects/batch"):
        return 200, {"transfer": "basic", "objects": [_to_upload(hub, own) for own in asked["objects"]]}
    files = hub.repositories.get("/".join(path.split("/")[2:5]))
    if files is None:
        return 404, {"error": "Repository not found"}
    if "/preupload/" in path:
        return 200, {"files": [_mode(own, files) for own in asked["files"]]}
    if path.endswith("/commit/main"):
        _commit(hub, files, body)
        return 200, {"commitUrl": f"{hub.address}/me/x/commit/1", "commitOid": "1" * 40, "success": True}
    return 200, {"id": "me/x", "sha": "1" * 40, "siblings": [], "private": True, "tags": [], "downloads": 0, "likes": 0}


def _to_upload(hub: Hub, own: dict[str, Any]) -> dict[str, Any]:
    found = {"oid": own["oid"], "size": own["size"]}
    return found if own["oid"] in hub.blobs else {
        **found, "actions": {"upload": {"href": f"{hub.address}/blobs/{own['oid']}"}},
    }  # fmt: skip


def _mode(own: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    large = own["path"].endswith(".safetensors")
    known = files.get(own["path"])
    git = None if known is None else hashlib.sha1(b"blob %d\0" % len(known) + known).hexdigest()
    oid = git if known is None or not large else hashlib.sha256(known).hexdigest()
    return {"path": own["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


def _commit(hub: Hub, files: dict[str, bytes], body: bytes) -> None:
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "header":
            hub.commits.append(value["summary"])
        elif line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            files[value["path"]] = hub.blobs[value["oid"]]
