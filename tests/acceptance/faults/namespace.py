"""A namespace of the network, whose links and routes a test can cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Literal

from tools.servers.processes import Failed


class Namespace:
    """For processes whose network can be cut; it has a link to the machine's own in each of its
    subnets."""

    def __init__(self, *subnets: str) -> None:
        """`subnets` are the first three numbers of addresses, such as 10.198.52: at .1 is this
        side, the other at .2.

        Raises Failed where that is impossible.
        """
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise Failed("needs root, and ip (Debian: iproute2)")
        self._space = f"bridge-{os.getpid()}-{subnets[0]}"
        self.within = ["ip", "netns", "exec", self._space]
        """Begins a command that is to run there."""
        self.here = [f"{subnet}.1" for subnet in subnets]
        self.addresses = [f"{subnet}.2" for subnet in subnets]
        names = [f"{os.getpid()}-{subnet.rpartition('.')[2]}" for subnet in subnets]
        self._links = [(f"br{name}", f"db{name}") for name in names]
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

    def remove(self) -> None:
        """Removes it and its links."""
        for ours, _ in self._links:
            subprocess.run(["ip", "link", "delete", ours], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "delete", self._space], capture_output=True, check=False)
