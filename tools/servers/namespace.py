"""A namespace of the network, whose links and routes a test can cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Literal

from tools.servers.processes import Failed


class Namespace:
    """For processes whose network can be cut, with links to the machine's own."""

    def __init__(self, links: int) -> None:
        """Each link is a subnet, with this side at `here` and the other at `addresses`.

        Raises Failed where that is impossible.
        """
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise Failed("needs root, and ip (Debian: iproute2)")
        pid = os.getpid()
        self._space = f"bridge-{pid}"
        self.within = ["ip", "netns", "exec", self._space]
        """Begins a command that is to run there."""
        # Another run of the tests on this machine has subnets of its own.
        subnets = [f"10.{128 + pid // 64 % 64}.{pid % 64 * 4 + number}" for number in range(links)]
        self.here = [f"{subnet}.1" for subnet in subnets]
        self.addresses = [f"{subnet}.2" for subnet in subnets]
        self._links = [(f"br{pid}-{number}", f"db{pid}-{number}") for number in range(links)]
        made = [f"ip netns add {self._space}"]
        for (ours, theirs), here, there in zip(self._links, self.here, self.addresses, strict=True):
            made += [
                f"ip link add {ours} type veth peer name {theirs} netns {self._space}",
                f"ip address add {here}/24 dev {ours}",
                f"ip link set {ours} up",
                f"ip netns exec {self._space} ip address add {there}/24 dev {theirs}",
                f"ip netns exec {self._space} ip link set {theirs} up",
            ]
        for command in made:
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                self.remove()
                raise Failed(f"this machine gives no namespaces: {command}: {done.stderr.strip()}")

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def set_first_link(self, state: Literal["up", "down"]) -> None:
        """Down at the other end: from then on packets vanish, and this end isn't told."""
        subprocess.run([*self.within, "ip", "link", "set", self._links[0][1], state], check=True)

    def set_route(self, state: Literal["up", "down"]) -> None:
        """Down: what is sent there to this side vanishes, and those who have a connection aren't
        told."""
        change = {"down": "add", "up": "delete"}[state]
        subprocess.run([*self.within, "ip", "route", change, "blackhole", self.here[0]], check=True)

    def unsent(self) -> int:
        """Bytes that the kernel keeps there and will send again, once it can, because nobody has
        confirmed them."""
        table = subprocess.run(
            [*self.within, "cat", "/proc/net/tcp"], capture_output=True, text=True, check=True
        )
        return sum(
            int(line.split()[4].partition(":")[0], 16) for line in table.stdout.splitlines()[1:]
        )

    def slow_down(self) -> None:
        """Lets little through the first link, and loses some of it. Raises Failed if it can't be."""
        # Not every kernel has the first. The second loses what comes faster than it lets through.
        for link in (
            "netem delay 30ms rate 2mbit loss 1%",
            "tbf rate 2mbit burst 5kb latency 20ms",
        ):
            command = f"tc qdisc add dev {self._links[0][0]} root {link}"
            if subprocess.run(command.split(), check=False).returncode == 0:
                return
        raise Failed("this kernel can't make a link slow")

    def remove(self) -> None:
        """Removes it and its links."""
        for ours, _ in self._links:
            subprocess.run(["ip", "link", "delete", ours], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "delete", self._space], capture_output=True, check=False)
