"""A real Slurm of one node for the tests, as root on Debian or Ubuntu; systemd is not needed.

    python tests/slurm/cluster.py install              # apt-get; nothing when all is there
    eval "$(python tests/slurm/cluster.py up)"         # start what does not run; sets SLURM_CONF
    python tests/slurm/cluster.py down [--purge]       # cancel the jobs and end the daemons

Everything listens on loopback or on Unix sockets and lies in one folder, /var/lib/bench-slurm or
what BENCH_SLURM_BASE names; a Slurm or munge of the machine's own is left alone, /etc/slurm too.
The standard library is enough, so it runs before `make setup`.
"""

import argparse
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BASE = Path(os.environ.get("BENCH_SLURM_BASE", "/var/lib/bench-slurm"))
CONFIG = BASE / "etc" / "slurm.conf"
CLUSTER = "bench-tests"

PACKAGES = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sinfo": "slurm-client",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
}
"""Debian's package of each program that must be there."""

PATIENCE_SECONDS = 60
HOSTS = Path("/etc/hosts")
MARK = "# tests/slurm/cluster.py"

_MUNGE_SOCKET = BASE / "munged" / "socket"
_MUNGE_KEY = BASE / "munged" / "key"
_DATABASE = BASE / "mariadbd" / "data"
_DATABASE_SOCKET = BASE / "mariadbd" / "socket"
_PROCESSES = BASE / "processes.json"
_SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_ENVIRONMENT = {"PATH": _SEARCH, "SLURM_CONF": str(CONFIG)}


class ClusterError(Exception):
    """Something that the caller can mend; one line."""


# --------------------------------------------------------------------------- commands


def missing_packages() -> list[str]:
    """Return the packages whose programs are not on this machine."""
    return [package for program, package in PACKAGES.items() if not _which(program)]


def answers() -> bool:
    """Return whether this folder's cluster runs and has a node for jobs; needs no root."""
    return CONFIG.exists() and _node_serves()


def install() -> None:
    """Install the packages that are missing."""
    packages = missing_packages()
    if not packages:
        return
    _need_root()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        _say(f"apt-get {' '.join(words)}")
        done = subprocess.run(
            ["apt-get", "-qq", *words], env=environment, stdout=sys.stderr, check=False
        )
        if done.returncode:
            raise ClusterError(f"apt-get {words[0]} failed")


def up(*, edit_hosts: bool = False) -> None:
    """Start the daemons that do not run, and return when the node takes jobs.

    Args:
        edit_hosts: Whether to write the host name into /etc/hosts where it is not on loopback.
    """
    _need_root()
    if packages := missing_packages():
        raise ClusterError(f"not installed: {', '.join(packages)}; run `cluster.py install`")
    with _lock():
        _put_on_loopback(edit_hosts=edit_hosts)
        _configure()
        _start()


def down(*, purge: bool = False) -> None:
    """Cancel all jobs and end the daemons that `up` started.

    Args:
        purge: Whether to remove the folder and the line in /etc/hosts as well.
    """
    _need_root()
    with _lock():
        if "slurmctld" in _noted() and any(_is_alive(daemon.name) for daemon in DAEMONS):
            _cancel_jobs()
        for daemon in reversed(DAEMONS):
            _end(daemon.name)
        _PROCESSES.unlink(missing_ok=True)
        if purge:
            shutil.rmtree(BASE, ignore_errors=True)
            _remove_from_hosts()


# --------------------------------------------------------------------------- configuration


def _configure() -> None:
    for daemon in DAEMONS:
        _make_folder(BASE / daemon.name, daemon.user)
    if not _MUNGE_KEY.exists():
        _write(_MUNGE_KEY, os.urandom(128), "munge")
    values = {
        "base": str(BASE),
        "cluster": CLUSTER,
        "node": _host_name(),
        # A node with less than it claims is drained; the figure of slurmd may be a little lower.
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 * 9 // 10,
        # Below Slurm's largest id, 2^26, and at least 100 later per second.
        "first_job": int(_MUNGE_KEY.stat().st_mtime) % 600_000 * 100 + 1,
    }
    _make_folder(CONFIG.parent, "root")
    for name in ("slurmdbd.conf", "slurm.conf"):
        template = Path(__file__).with_name(name).read_text()
        _write_configuration(CONFIG.with_name(name), string.Template(template).substitute(values))
    CONFIG.chmod(0o644)


def _write_configuration(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    if any(_is_alive(daemon.name) for daemon in DAEMONS):
        raise ClusterError(f"it runs with another {path.name}; `cluster.py down` it first")
    _write(path, text.encode(), "slurm")


def _write(path: Path, content: bytes, user: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content)
    temporary.chmod(0o600)
    shutil.chown(temporary, user)
    temporary.replace(path)


def _make_folder(path: Path, user: str) -> None:
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    shutil.chown(path, user)


def _host_name() -> str:
    return socket.gethostname().partition(".")[0]


def _put_on_loopback(*, edit_hosts: bool) -> None:
    """Make sure of the host name: Slurm's daemons and srun listen where it resolves to."""
    name = _host_name()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = "nothing"
    if address.startswith("127."):
        return
    if not edit_hosts:
        raise ClusterError(
            f"the host name {name} resolves to {address}, not to loopback; put the line "
            f"'127.0.0.1 {name}' at the top of {HOSTS}, or let `up --edit-hosts` do it"
        )
    # Written in place: in a container the file is a mount, which cannot be replaced.
    HOSTS.write_text(f"127.0.0.1 {name} {MARK}\n{HOSTS.read_text()}")


def _remove_from_hosts() -> None:
    lines = HOSTS.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.rstrip().endswith(MARK)]
    if kept != lines:
        HOSTS.write_text("".join(kept))


# --------------------------------------------------------------------------- daemons


@dataclass(frozen=True)
class Daemon:
    """A program that runs in the foreground, in a session of its own.

    Attributes:
        name: The program; its state and its logs are in the folder of that name.
        arguments: What it is started with.
        user: Whom it runs as.
        ready: Returns whether it does its work yet.
        environment: What it needs besides PATH and SLURM_CONF.
        prepare: What must be done before its first start.
    """

    name: str
    arguments: tuple[str, ...]
    user: str
    ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None


def _make_database() -> None:
    if _DATABASE.exists():
        return
    temporary = _DATABASE.with_name("new")
    shutil.rmtree(temporary, ignore_errors=True)
    made = _run(
        "mariadb-install-db", "--no-defaults", f"--datadir={temporary}", "--skip-test-db",
        "--skip-name-resolve", "--auth-root-authentication-method=socket",
        "--auth-root-socket-user=slurm", user="slurm", timeout=PATIENCE_SECONDS * 5,
    )  # fmt: skip
    if made.returncode:
        raise ClusterError(f"mariadb-install-db failed: {made.stdout[-2000:]}")
    temporary.rename(_DATABASE)


def _database_serves() -> bool:
    return not _run(
        "mariadb", "--no-defaults", f"--socket={_DATABASE_SOCKET}",
        "-e", "CREATE DATABASE IF NOT EXISTS slurm_acct_db", user="slurm",
    ).returncode  # fmt: skip


def _accounting_serves() -> bool:
    """Return whether slurmdbd answers, and knows the cluster: the controller needs both."""
    if CLUSTER in _run("sacctmgr", "-nP", "show", "cluster", "format=cluster").stdout:
        return True
    return not _run("sacctmgr", "-i", "add", "cluster", CLUSTER).returncode


def _node_serves() -> bool:
    states = _run("sinfo", "--noheader", "--format=%T").stdout.split()
    return bool(states) and set(states) <= {"idle", "mixed", "allocated", "completing"}


DAEMONS = (
    Daemon(
        "munged",
        (
            "--foreground", "--force", f"--key-file={_MUNGE_KEY}", f"--socket={_MUNGE_SOCKET}",
            *(f"--{kind}-file={BASE / 'munged' / kind}" for kind in ("log", "pid", "seed")),
        ),
        "munge",
        lambda: not _run("munge", "-n", f"--socket={_MUNGE_SOCKET}").returncode,
    ),
    Daemon(
        "mariadbd",
        (
            "--no-defaults", f"--datadir={_DATABASE}", f"--socket={_DATABASE_SOCKET}",
            f"--pid-file={BASE / 'mariadbd' / 'pid'}", "--skip-networking",
            # The least that slurmdbd does not complain of; nothing here need survive a power cut.
            "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
            "--innodb-flush-log-at-trx-commit=0", "--performance-schema=0",
        ),
        "slurm",
        _database_serves,
        prepare=_make_database,
    ),
    Daemon(
        "slurmdbd",
        ("-D",),
        "slurm",
        _accounting_serves,
        environment={"MYSQL_UNIX_PORT": str(_DATABASE_SOCKET)},
    ),
    Daemon("slurmctld", ("-D",), "slurm", lambda: not _run("scontrol", "ping").returncode),
    Daemon("slurmd", ("-D",), "root", _node_serves),
)  # fmt: skip
"""In the order in which they need each other."""


def _start() -> None:
    for daemon in DAEMONS:
        if not _is_alive(daemon.name):
            daemon.prepare()
            _launch(daemon)
        _wait_until_ready(daemon)


def _launch(daemon: Daemon) -> None:
    user = pwd.getpwnam(daemon.user)
    with (BASE / daemon.name / "output").open("wb") as output:
        process = subprocess.Popen(
            [_which(daemon.name), *daemon.arguments],
            env=_ENVIRONMENT | daemon.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        )
    _note(daemon.name, [process.pid, _start_time(process.pid)])


def _wait_until_ready(daemon: Daemon) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not daemon.ready():
        if not _is_alive(daemon.name):
            raise ClusterError(f"{daemon.name} ended: {_last_words(daemon.name)}")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{daemon.name} does not answer after {PATIENCE_SECONDS} s: "
                f"{_last_words(daemon.name)}; `cluster.py down` and `up` again"
            )
        time.sleep(0.1)


def _last_words(name: str) -> str:
    files = [BASE / name / "output", BASE / name / "log"]
    text = "".join(file.read_text(errors="replace") for file in files if file.is_file())
    return f"{text[-1500:].strip()} (see {BASE / name})"


def _cancel_jobs() -> None:
    """Cancel while Slurm works: the processes of a job outlive slurmd."""
    try:
        _start()
    except ClusterError as error:
        _say(f"jobs cannot be cancelled: {error}")
        return
    deadline = time.monotonic() + PATIENCE_SECONDS
    while jobs := _run("squeue", "--noheader", "--format=%A").stdout.split():
        if time.monotonic() > deadline:
            _say(f"jobs that do not end: {' '.join(jobs)}")
            return
        _run("scancel", *sorted(set(jobs)))
        time.sleep(0.5)


def _end(name: str, patience_seconds: float = 10) -> None:
    deadline = time.monotonic() + patience_seconds
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _is_alive(name):
            os.kill(_noted()[name][0], number)
        while _is_alive(name) and (time.monotonic() < deadline or number == signal.SIGKILL):
            time.sleep(0.05)


# --------------------------------------------------------------------------- processes


def _is_alive(name: str) -> bool:
    pid, start = _noted().get(name, (0, 0))
    return bool(start) and _start_time(pid) == start


def _noted() -> dict[str, list[int]]:
    try:
        noted: dict[str, list[int]] = json.loads(_PROCESSES.read_text())
    except FileNotFoundError:
        return {}
    return noted


def _note(name: str, process: list[int]) -> None:
    _write(_PROCESSES, json.dumps(_noted() | {name: process}).encode(), "root")


def _start_time(pid: int) -> int:
    """Return when a process started, in ticks; 0 if it has ended. It tells recycled ids apart."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if state == "Z" else int(rest[18])


def _run(
    *words: str, user: str | None = None, timeout: float = 20
) -> "subprocess.CompletedProcess[str]":
    """Run a command with the cluster's settings; one that hangs has failed."""
    try:
        return subprocess.run(
            words, env=_ENVIRONMENT, user=user, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        return subprocess.CompletedProcess(words, returncode=1, stdout=str(error))


def _which(program: str) -> str:
    return shutil.which(program, path=_SEARCH) or ""


@contextmanager
def _lock() -> Iterator[None]:
    """Let one `up` or `down` work at a time; beside the folder, which may be removed."""
    with BASE.with_name(f"{BASE.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _need_root() -> None:
    if os.geteuid():
        raise ClusterError("it must be root: the daemons run as several users; try sudo")


def _say(line: str) -> None:
    print(f"slurm: {line}", file=sys.stderr)


def main() -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install the packages")
    starting = commands.add_parser("up", help="start it; prints the line that sets SLURM_CONF")
    starting.add_argument(
        "--edit-hosts", action="store_true", help="put the host name on loopback if it is not"
    )
    ending = commands.add_parser("down", help="cancel all jobs and end it")
    ending.add_argument("--purge", action="store_true", help="remove its folder, too")
    asked = vars(parser.parse_args())
    began = time.monotonic()
    command = asked.pop("command")
    try:
        {"install": install, "up": up, "down": down}[command](**asked)
    except ClusterError as error:
        sys.exit(f"slurm: error: {error}")
    _say(f"{command}: {time.monotonic() - began:.1f} s")
    if command == "up":
        print(f"export SLURM_CONF={CONFIG}")


if __name__ == "__main__":
    main()
