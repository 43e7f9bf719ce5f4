"""Marionette, Mozilla's remote control: JSON packets over TCP, each with its length in octets before it.

A packet is `LENGTH:[0, id, command, parameters]`, its answer `LENGTH:[1, id, error, result]`.
"""

import json
import socket


class Failed(Exception):
    """Thunderbird refused a command, or a script in it threw."""


class Marionette:
    """One session, whose scripts run with the rights of Thunderbird itself."""

    def __init__(self, port, timeout):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._reader = self._socket.makefile("rb")
        self._next = 0
        self._packet()  # Thunderbird says which protocol it speaks.
        patience = {"script": timeout * 1000}
        self._command("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"timeouts": patience}}})
        self._command("Marionette:SetContext", {"value": "chrome"})

    def run(self, script, *arguments):
        """What `script`, the body of a function, returns; a promise is waited for."""
        asked = {"script": script, "args": arguments, "sandbox": "system", "newSandbox": False}
        return self._command("WebDriver:ExecuteScript", asked)["value"]

    def _command(self, name, parameters):
        self._next += 1
        packet = json.dumps([0, self._next, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(packet), packet))
        _, number, error, result = self._packet()
        if number != self._next:
            raise Failed(f"{name}: the answer to another command")
        if error:
            raise Failed(f"{name}: {error['message']}\n{error['stacktrace']}")
        return result

    def _packet(self):
        length = b""
        while not length.endswith(b":"):
            octet = self._reader.read(1)
            if not octet:
                raise Failed("Thunderbird hung up")
            length += octet
        return json.loads(self._reader.read(int(length[:-1])))
