"""A daffi node in Python, written from docs/protocol.md: exposes one function and calls another.

A demonstration that the page is enough, not a product: one thread, one call at a time, plain values only, and it
trusts its controller: it does not check a payload before decoding it.
Needs Python 3.9 and `pip install msgpack`. Start a controller first, for example examples/hello/worker.ts, then

    python3 client.py                      # the default UNIX socket: calls hello() of the worker
    python3 client.py localhost:8888       # TCP, with the cookie of this user
    python3 client.py /folder/.sock serve  # exposes py_add(a, b) and answers until it is interrupted
"""

import hashlib
import hmac
import os
import secrets
import socket
import stat
import struct
import sys
import tempfile

import msgpack

HELLO, CHALLENGE, PROOF, WELCOME, REFUSED, PING, PONG, GOODBYE, REGISTER, CHANGE = range(1, 11)
REQUEST, RESPONSE, CANCEL, TRANSFER, REQUEST_PART, RESPONSE_PART = range(16, 22)
NO_REPLY, ATTACHED, FRAGMENTED, LAST = 1, 4, 8, 16
MAX_BODY, PIECE, HEADER = 266_240, 262_144, struct.Struct("<IBBHIIII")


class RemoteError(Exception):
    """A call that failed: the code of the protocol, and what the callback threw."""


class Node:
    def __init__(self, address, name, functions):
        self.functions, self.names, self.ids, self.nodes, self.exposed = functions, {}, {}, {}, {}
        self.generation, self.pieces, self.instance = 0, {}, secrets.token_bytes(16)
        self.socket, method, key = open_socket(address)
        self.input = self.socket.makefile("rb")
        self.shake_hands(name, method, key)
        self.send_control(REGISTER, {"add": list(functions)})

    def shake_hands(self, name, method, key):
        nonce = secrets.token_bytes(32)
        self.socket.sendall(b"\xdadaffi\x01\0")
        self.send_control(HELLO, {"version": 1, "role": "node", "nonce": nonce})
        challenge = self.expect(CHALLENGE)
        if challenge["version"] != 1 or challenge["method"] != method:
            raise ConnectionError(f"the controller asks for {challenge['method']}, not {method}")
        text, theirs = name.encode(), challenge["nonce"]
        node = b"daffi node v1" + theirs + nonce + struct.pack("<I", len(text)) + text + self.instance
        proof = {"proof": sign(key, node), "name": name, "instance": self.instance, "pid": os.getpid()}
        self.send_control(PROOF, proof)
        welcome = self.expect(WELCOME)
        if not hmac.compare_digest(welcome["proof"], sign(key, b"daffi controller v1" + nonce + theirs)):
            raise ConnectionError("the controller cannot prove that it holds our secret")
        self.index, self.max_payload = welcome["node"], welcome["max_payload"]
        self.socket.settimeout(welcome["dead_ms"] / 1000)
        self.apply(welcome["registry"])

    def call(self, name, *args):
        while not any(node != self.index and name in names for node, names in self.exposed.items()):
            self.handle(*self.receive())
        self.generation += 1
        self.send_payload(REQUEST, 0, self.generation, self.ids[name], list(args))
        while True:
            slot, generation, code, value = self.handle(*self.receive()) or (0, 0, 0, None)
            if (slot, generation) == (0, self.generation):
                if code:
                    raise RemoteError(code, value)
                return value

    def serve(self):
        while True:
            self.handle(*self.receive())

    def handle(self, kind, flags, node, slot, generation, callback, extension, payload):
        """Does what a frame asks for; gives back the answers to calls of our own."""
        if kind == PING:
            self.send(PONG)
        elif kind == CHANGE:
            self.apply(msgpack.unpackb(payload))
        elif kind == REFUSED:
            raise ConnectionError(msgpack.unpackb(payload)["message"])
        elif kind in (REQUEST, RESPONSE, TRANSFER) and flags & FRAGMENTED:
            total = next(struct.unpack("<Q", words)[0] for tag, _, words in entries(extension) if tag == 2)
            if total <= self.max_payload:
                self.pieces[kind == RESPONSE, slot, generation] = [total, kind, flags, callback, extension, payload]
                return self.whole(kind == RESPONSE, slot, generation)
        elif kind in (REQUEST_PART, RESPONSE_PART):
            key = (kind == RESPONSE_PART, slot, generation)
            if key in self.pieces:
                self.pieces[key][5] += payload
                return self.whole(*key)
        elif kind == RESPONSE:
            return slot, generation, callback, decode(flags, extension, payload)
        elif kind == TRANSFER:
            self.send(RESPONSE, slot, generation, 10)
        elif kind == REQUEST:
            self.run(flags, slot, generation, callback, extension, payload)
        return None

    def whole(self, *key):
        total, kind, flags, callback, extension, payload = self.pieces[key]
        if len(payload) < total:
            return None
        del self.pieces[key]
        return self.handle(kind, flags & ~FRAGMENTED, 0, key[1], key[2], callback, extension, payload)

    def run(self, flags, slot, generation, callback, extension, payload):
        code, value = 0, None
        try:
            function = self.functions[self.names[callback]]
            value = function(*decode(flags, extension, payload))
        except Exception as error:  # whatever it throws goes to the caller
            detail = {"kind": "error", "name": type(error).__name__, "message": str(error)}
            code, value = 1, {**detail, "stack": None, "code": None, "data": None, "cause": None}
        if not flags & NO_REPLY:
            self.send_payload(RESPONSE, slot, generation, code, value)

    def apply(self, change):
        self.nodes.update(change["joined"])
        for number, name in change["names"]:
            self.names[number], self.ids[name] = name, max(number, self.ids.get(name, 0))
        for node, numbers in change["exposes"]:
            self.exposed.setdefault(node, set()).update(self.names[number] for number in numbers)
        for node, numbers in change["withdraws"]:
            self.exposed.get(node, set()).difference_update(self.names[number] for number in numbers)
        for node in change["left"]:
            self.nodes.pop(node, None)
            self.exposed.pop(node, None)

    def send_control(self, kind, message):
        self.send(kind, payload=msgpack.packb(message))

    def send_payload(self, kind, slot, generation, callback, value):
        payload = msgpack.packb(value)
        if len(payload) <= PIECE:
            return self.send(kind, slot, generation, callback, payload=payload)
        total = struct.pack("<HHIQ", 2, 1, 0, len(payload))
        self.send(kind, slot, generation, callback, FRAGMENTED, total, payload[:PIECE])
        for start in range(PIECE, len(payload), PIECE):
            last = LAST if start + PIECE >= len(payload) else 0
            part = RESPONSE_PART if kind == RESPONSE else REQUEST_PART
            self.send(part, slot, generation, 0, last, payload=payload[start : start + PIECE])

    def send(self, kind, slot=0, generation=0, callback=0, flags=0, extension=b"", payload=b""):
        body = extension + payload
        header = HEADER.pack(len(body), kind, flags, len(extension), 0, slot, generation, callback)
        self.socket.sendall(header + body + bytes(-len(body) % 8))

    def receive(self):
        length, kind, flags, extension, node, slot, generation, callback = HEADER.unpack(self.read(HEADER.size))
        if length > MAX_BODY or extension > length or extension % 8:
            raise ConnectionError("the controller sent what is no frame")
        body = self.read(length + -length % 8)[:length]
        return kind, flags, node, slot, generation, callback, body[:extension], body[extension:]

    def read(self, count):
        found = self.input.read(count)
        if len(found) < count:
            raise ConnectionError("the controller closed the connection")
        return found

    def expect(self, wanted):
        kind, *_, payload = self.receive()
        message = msgpack.unpackb(payload)
        if kind != wanted:
            raise ConnectionError(message.get("message", f"frame {kind} where {wanted} was due"))
        return message


def entries(extension):
    while extension:
        tag, count, value = struct.unpack_from("<HHI", extension)
        yield tag, value, extension[8 : 8 + count * 8]
        extension = extension[8 + count * 8 :]


def decode(flags, extension, payload):
    """The value of a payload. Of the extension types only undefined and attachments are known here."""
    attachments, end = [], len(payload)
    for tag, value, words in entries(extension if flags & ATTACHED else b""):
        if tag == 3:
            end, start = value, value + -value % 8
            for (length,) in struct.iter_unpack("<Q", words):
                attachments.append(payload[start : start + length])
                start += length + -length % 8

    def known(kind, data):
        return {0: lambda: None, 4: lambda: attachments[data[1]]}.get(kind, lambda: msgpack.ExtType(kind, data))()

    return msgpack.unpackb(payload[:end], ext_hook=known, strict_map_key=False) if payload else None


def sign(key, message):
    return hmac.new(key, message, hashlib.sha256).digest() if key else b""


def open_socket(address):
    """A connected socket, the method of the handshake, and its key."""
    if not address.endswith(".sock"):
        host, port = address.rsplit(":", 1)
        path = os.path.expanduser("~/.daffi/cookie")
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o177:
            raise PermissionError(f"{path} is not a private file of this user")
        with open(path, "rb") as file:
            return socket.create_connection((host, int(port))), "cookie", file.read()
    folder = os.lstat(os.path.dirname(address))
    if not stat.S_ISDIR(folder.st_mode) or folder.st_mode & 0o022 or folder.st_uid not in (0, os.getuid()):
        raise PermissionError(f"somebody else may have put {address} there")
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(address)
    if hasattr(socket, "SO_PEERCRED"):
        _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (0, os.getuid()):
            raise PermissionError(f"{address} is held by user {uid}")
    return connected, "peer", None


def py_add(a, b):
    return a + b


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else os.path.join(tempfile.gettempdir(), "daffi", ".sock")
    node = Node(where, f"python-{os.getpid()}", {"py_add": py_add})
    if sys.argv[2:] == ["serve"]:
        node.serve()
    print(node.call("hello", "Python"))
