"""What is sent over what: the grid."""
GIB = 1 << 30
MIB = 1 << 20

# A line of R bit/s carries R * PAYLOAD of a program's bytes in 1500-byte packets: 1448 of the 1514
# that the emulator counts for each (TCP over IPv4 with timestamps; the others are close to it).
PAYLOAD = 1448 / 1514

FILES = 10000
FILE_BYTES = 4096


class Case:
    """@link: options of the emulator, None for a direct pair. @mib: size of the one file that is
    sent; None: the many small ones."""

    def __init__(self, name, title, link=None, mib=1024):
        self.name, self.title, self.link, self.mib = name, title, link, mib

    @property
    def many(self):
        return self.mib is None

    @property
    def bytes(self):
        return FILES * FILE_BYTES if self.many else self.mib * MIB

    def describe(self, size):
        """@size: the bytes that were sent, which may have been fewer than planned."""
        if self.many:
            return self.title
        return "%s, %s" % (self.title, "%g GiB" % (size / GIB) if size >= GIB else
                           "%g MiB" % (size / MIB))

    @property
    def rate_bps(self):
        """Of the line; None: as fast as this machine."""
        return float(self.link["rate"].rstrip("M")) * 1e6 if self.link else None

    @property
    def round_trip(self):
        return 2e-3 * float(self.link["delay"].rstrip("ms")) if self.link else 0.0

    @property
    def loss(self):
        return float(self.link.get("loss", "0%").rstrip("%")) / 100 if self.link else 0.0

    @property
    def payload_bps(self):
        """What the best program could carry, or None."""
        return self.rate_bps * PAYLOAD * (1 - self.loss) if self.link else None

    def limit(self, size):
        """Seconds after which a program is stopped: one and a half times of what the best needs."""
        return 15.0 if self.many or not self.link else 6 + 1.5 * 8 * size / self.payload_bps


def line(rate, one_way, **more):
    return dict(rate=rate, delay=one_way, **more)


CASES = [
    Case("lan", "LAN (direct pair)"),
    Case("500M-0", "500 Mbit/s, 100 ms", line("500M", "50ms")),
    Case("500M-0.1", "500 Mbit/s, 100 ms, 0.1 % loss", line("500M", "50ms", loss="0.1%")),
    Case("500M-1", "500 Mbit/s, 100 ms, 1 % loss", line("500M", "50ms", loss="1%")),
    Case("500M-5", "500 Mbit/s, 100 ms, 5 % loss", line("500M", "50ms", loss="5%")),
    Case("1G-1", "1 Gbit/s, 200 ms, 1 % loss", line("1000M", "100ms", loss="1%")),
    Case("100M-10", "100 Mbit/s, 300 ms, 10 % loss in bursts of 5",
         line("100M", "150ms", loss="10%", burst=5), 128),
    Case("files", "10 000 files of 4 KiB, 500 Mbit/s, 100 ms", line("500M", "50ms"), None),
    Case("files-lan", "10 000 files of 4 KiB, LAN", None, None),
]
