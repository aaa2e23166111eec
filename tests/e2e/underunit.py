"""Runs a command as a unit of systemd's would: underunit.py UNIT STATE_FOLDER COMMAND...

What of the unit's settings the kernel takes from any process that asks: account, capabilities, new
privileges, executable memory, files (ProtectSystem=strict by a name space of mounts), others'
processes in /proc, socket families, system calls (by libseccomp, sets expanded by systemd-analyze).
The rest (devices, users) is left as it is. Needs root. A setting that is not known here is an
error, so that a unit cannot gain one that nobody tried.
"""
import ctypes
import errno
import os
import subprocess
import sys

ACCOUNT = 65534
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 24, 38, 65
SCMP_ALLOW, SCMP_ERRNO, SCMP_CMP_MASKED_EQ = 0x7FFF0000, 0x00050000, 7
CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_BIND, MS_REMOUNT, MS_RDONLY = \
    0x20000, 0x4000, 1 << 18, 4096, 32, 1
CAPABILITIES = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3,
                "CAP_FSETID": 4, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8}
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
# Tried by none of the tests: nothing here could tell the difference.
ELSEWHERE = {
    "Type", "ExecStart", "EnvironmentFile", "Environment", "Restart", "RestartSec", "LimitCORE",
    "TimeoutStopSec", "LimitNOFILE", "StateDirectory", "StateDirectoryMode", "Group",
    "PrivateUsers", "ProtectHome", "PrivateTmp", "PrivateMounts", "PrivateDevices", "DevicePolicy",
    "ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
    "ProtectKernelTunables", "ProtectControlGroups", "KeyringMode",
    "LockPersonality", "RemoveIPC", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
    "SystemCallArchitectures", "SystemCallErrorNumber"}

libc = ctypes.CDLL(None, use_errno=True)


class Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("mask", ctypes.c_uint64),
                ("value", ctypes.c_uint64)]


def check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))


def settings(unit):
    """{name: [values]} of its [Service]."""
    found, section = {}, None
    with open(unit, encoding="utf-8") as file:
        for line in map(str.strip, file):
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and line[0] not in "#;":
                name, value = line.split("=", 1)
                found.setdefault(name, []).append(value)
    return found


def known_sets():
    """{set: its words} of all sets of system calls that systemd knows."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], check=True,
                          capture_output=True, text=True).stdout
    sets, current = {}, None
    for line in text.split("\n"):
        word = line.strip()
        if line.startswith("@"):
            current = sets.setdefault(word, set())
        elif line.startswith(" ") and word and word[0] != "#":
            current.add(word)
    return sets


def expand(name, sets):
    """The system calls of a set, or a call."""
    return set().union(*(expand(word, sets) for word in sets[name])) if name[0] == "@" else {name}


def allowed_calls(values):
    sets, calls = known_sets(), {"execve", "exit", "exit_group"}
    for value in values:
        for name in value.lstrip("~").split():
            if value.startswith("~"):
                calls -= expand(name, sets)
            else:
                calls |= expand(name, sets)
    return calls


def protect_files(state, everything):
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    path = os.fsencode(state)
    check(libc.mount(path, path, None, MS_BIND | MS_REC, None), "mount")
    with open("/proc/self/mounts", encoding="utf-8") as file:
        places = [line.split()[1] for line in file]
    closed = ["/usr", "/boot", "/etc"]
    for place in closed:
        libc.mount(os.fsencode(place), os.fsencode(place), None, MS_BIND | MS_REC, None)
    if everything:
        closed += ["/", *(p for p in places if p.startswith(("/home", "/root")))]
    for place in closed:
        libc.mount(None, os.fsencode(place), None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
    assert os.access(state, os.W_OK)


def hide_processes():
    """In the name space of mounts that protect_files() has made."""
    check(libc.mount(b"proc", b"/proc", b"proc", 0, b"hidepid=invisible"), "mount /proc")


def filter_calls(calls, families):
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    filters = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(SCMP_ERRNO | errno.EPERM)))
    for call in sorted(calls - {"socket"}):
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            seccomp.seccomp_rule_add_array(filters, ctypes.c_uint32(SCMP_ALLOW), number, 0, None)
    number = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in families:
        compare = Compare(0, SCMP_CMP_MASKED_EQ, 0xffffffff, FAMILIES[family])
        assert seccomp.seccomp_rule_add_array(filters, ctypes.c_uint32(SCMP_ALLOW), number, 1,
                                              ctypes.byref(compare)) == 0
    assert seccomp.seccomp_load(filters) == 0


def main():
    unit, state, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    wanted = settings(unit)
    unknown = set(wanted) - ELSEWHERE - {
        "User", "DynamicUser", "CapabilityBoundingSet", "NoNewPrivileges", "ProtectSystem",
        "MemoryDenyWriteExecute", "ProtectProc", "RestrictAddressFamilies", "SystemCallFilter", "UMask"}
    assert not unknown, unknown
    kept = {CAPABILITIES[name] for value in wanted["CapabilityBoundingSet"]
            for name in value.split()}
    calls = allowed_calls(wanted["SystemCallFilter"])
    protect_files(state, wanted["ProtectSystem"] == ["strict"])
    if "ProtectProc" in wanted:
        assert wanted["ProtectProc"] == ["invisible"]
        hide_processes()
    os.environ["STATE_DIRECTORY"] = state
    os.umask(int(wanted.get("UMask", ["0022"])[0], 8))
    for capability in set(range(64)) - kept:
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if "User" in wanted or "DynamicUser" in wanted:
        os.setgroups([])
        os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
        os.setresuid(ACCOUNT, ACCOUNT, ACCOUNT)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)     # since Linux 6.3
    filter_calls(calls, " ".join(wanted["RestrictAddressFamilies"]).split())
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
