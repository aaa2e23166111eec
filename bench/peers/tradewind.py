"""Tradewind itself, with its defaults: nothing is told about the line."""
import os

import tw

from .base import Peer


class Tradewind(Peer):
    def __init__(self, cipher):
        self.name = "Tradewind, " + ("AES-128-GCM" if cipher == "128" else "cipher none")
        self.cipher = cipher
        self.programs = (tw.TRADEWIND,)

    def wait(self, trip):
        side = tw.Side(os.path.join(trip.place, "right"), trip.network.right)
        self.receiver = tw.Receiver(side, trip.arrived, trip.network.right_ip, "--once",
                                    "--min-cipher", "0")
        return self.receiver.process

    def command(self, trip):
        return [tw.TRADEWIND, "send", "--json", "--cipher", self.cipher, trip.source,
                self.receiver.url()]

    def environment(self, trip):
        return tw.Side(os.path.join(trip.place, "left")).environment()
