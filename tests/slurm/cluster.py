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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BASE = Path(os.environ.get("BENCH_SLURM_BASE", "/var/lib/bench-slurm"))
CONFIG = BASE / "config" / "slurm.conf"
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

_COMMAND = "python3 tests/slurm/cluster.py"
_PATIENCE_SECONDS = 60
_NODE = socket.gethostname().partition(".")[0]
_HOSTS = Path("/etc/hosts")
_MARK = "# tests/slurm/cluster.py"
_MUNGE_SOCKET = BASE / "munged" / "socket"
_MUNGE_KEY = BASE / "munged" / "key"
_DATABASE_CONFIG = CONFIG.with_name("mariadb.conf")
_DATABASE = BASE / "mariadbd" / "data"
_DATABASE_SOCKET = BASE / "mariadbd" / "socket"
_PROCESSES = BASE / "processes.json"
_SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
# slurmdbd and the client find the database by the last one: slurmdbd.conf has no setting for it.
_ENVIRONMENT = {
    "PATH": _SEARCH,
    "SLURM_CONF": str(CONFIG),
    "MYSQL_UNIX_PORT": str(_DATABASE_SOCKET),
}


class ClusterError(Exception):
    """Why the cluster does not run, and what to do."""


def install() -> None:
    """Install the packages that are missing."""
    if not (packages := _missing_packages()):
        return
    _need_root("install")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        command = ["apt-get", "-qq", *words]
        if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
            raise ClusterError(f"`{' '.join(command)}` failed")


def up(*, edit_hosts: bool = False) -> None:
    """Start the daemons that do not run, and return when the node accepts jobs.

    Without root it only checks that the cluster runs.

    Args:
        edit_hosts: Whether to write the host name into /etc/hosts where it is not on loopback.
    """
    if packages := _missing_packages():
        raise ClusterError(f"not installed: {', '.join(packages)}; run `{_COMMAND} install`")
    if os.geteuid() and CONFIG.exists() and _node_serves():
        return
    _need_root("up")
    with _lock():
        _put_on_loopback(edit_hosts=edit_hosts)
        _configure()
        _start()


def down(*, purge: bool = False) -> None:
    """Cancel all jobs and end the daemons that `up` started.

    Args:
        purge: Whether to remove the folder and the line in /etc/hosts as well.
    """
    _need_root("down")
    with _lock():
        if "slurmctld" in _recorded() and any(_is_alive(daemon.name) for daemon in DAEMONS):
            _cancel_jobs()
        for daemon in reversed(DAEMONS):
            _end(daemon.name)
        _PROCESSES.unlink(missing_ok=True)
        if purge:
            _remove()


def _remove() -> None:
    # What it made, by name: BENCH_SLURM_BASE may hold other things.
    for folder in (CONFIG.parent, *(BASE / daemon.name for daemon in DAEMONS)):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        BASE.rmdir()
    lines = _HOSTS.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.rstrip().endswith(_MARK)]
    if kept != lines:
        _HOSTS.write_text("".join(kept))


def _configure() -> None:
    """Make the folders, the key, the database and the configuration that are missing."""
    _make_folder(BASE, "root")
    _make_folder(CONFIG.parent, "root")
    for daemon in DAEMONS:
        _make_folder(BASE / daemon.name, daemon.user)
    if not _MUNGE_KEY.exists():
        _write(_MUNGE_KEY, os.urandom(128), "munge")
    values = {
        "base": str(BASE),
        "cluster": CLUSTER,
        "node": _NODE,
        # A node with less than it claims is drained; the figure of slurmd may be a little lower.
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 * 9 // 10,
        # Differs between clusters made within a week, and is below Slurm's largest id, 2^26.
        "first_job": int(_MUNGE_KEY.stat().st_mtime) % 600_000 * 100 + 1,
    }
    for name in ("mariadb.conf", "slurmdbd.conf", "slurm.conf"):
        template = Path(__file__).with_name(name).read_text()
        _write_configuration(CONFIG.with_name(name), string.Template(template).substitute(values))
    CONFIG.chmod(0o644)
    _make_database()


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
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)
    shutil.chown(path, user)


def _put_on_loopback(*, edit_hosts: bool) -> None:
    """Make the host name resolve to 127.0.0.1, where Slurm's daemons and srun then listen.

    Debian's own 127.0.1.1 is not enough: srun waits there for answers that go to 127.0.0.1.
    """
    try:
        address = socket.gethostbyname(_NODE)
    except OSError:
        address = "nothing"
    if address == "127.0.0.1":
        return
    if not edit_hosts:
        raise ClusterError(
            f"the host name {_NODE} resolves to {address}, not to 127.0.0.1; put the line "
            f"'127.0.0.1 {_NODE}' at the top of {_HOSTS}, or let `up --edit-hosts` do it"
        )
    # Written in place: in a container the file is a mount, which cannot be replaced.
    _HOSTS.write_text(f"127.0.0.1 {_NODE} {_MARK}\n{_HOSTS.read_text()}")


@dataclass(frozen=True)
class Daemon:
    """A program that runs in the foreground, in a session of its own.

    Attributes:
        name: The program, and the folder of its state and logs.
        arguments: Its arguments.
        user: The user it runs as.
        ready: Returns whether it serves requests.
    """

    name: str
    arguments: tuple[str, ...]
    user: str
    ready: Callable[[], bool]


def _make_database() -> None:
    if _DATABASE.exists():
        return
    temporary = _DATABASE.with_name("new")
    shutil.rmtree(temporary, ignore_errors=True)
    made = _run(
        "mariadb-install-db", "--no-defaults", f"--datadir={temporary}", "--skip-test-db",
        "--skip-name-resolve", "--auth-root-authentication-method=socket",
        "--auth-root-socket-user=slurm", user="slurm", timeout=_PATIENCE_SECONDS * 5,
    )  # fmt: skip
    if made.returncode:
        raise ClusterError(f"mariadb-install-db failed: {made.stdout[-2000:]}{made.stderr}")
    temporary.rename(_DATABASE)


def _database_serves() -> bool:
    query = "CREATE DATABASE IF NOT EXISTS slurm_acct_db"
    return not _run("mariadb", "--no-defaults", "-e", query, user="slurm").returncode


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
    Daemon("mariadbd", (f"--defaults-file={_DATABASE_CONFIG}",), "slurm", _database_serves),
    Daemon("slurmdbd", ("-D",), "slurm", _accounting_serves),
    Daemon("slurmctld", ("-D",), "slurm", lambda: not _run("scontrol", "ping").returncode),
    Daemon("slurmd", ("-D",), "root", _node_serves),
)  # fmt: skip
"""Each needs those before it."""


def _start() -> None:
    for daemon in DAEMONS:
        if not _is_alive(daemon.name):
            _launch(daemon)
        _wait_until_ready(daemon)


def _launch(daemon: Daemon) -> None:
    user = pwd.getpwnam(daemon.user)
    with (BASE / daemon.name / "output").open("wb") as output:
        process = subprocess.Popen(
            [daemon.name, *daemon.arguments], env=_ENVIRONMENT, cwd="/",
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        )  # fmt: skip
    recorded = _recorded() | {daemon.name: [process.pid, _start_time(process.pid)]}
    _write(_PROCESSES, json.dumps(recorded).encode(), "root")


def _wait_until_ready(daemon: Daemon) -> None:
    _wait(lambda: daemon.ready() or not _is_alive(daemon.name), _PATIENCE_SECONDS)
    if not (_is_alive(daemon.name) and daemon.ready()):
        raise ClusterError(f"{daemon.name} does not serve: {_last_words(daemon.name)}")


def _wait(happened: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := happened()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return done


def _last_words(name: str) -> str:
    files = [BASE / name / "output", BASE / name / "log"]
    text = "".join(file.read_text(errors="replace") for file in files if file.is_file())
    return f"{text[-1500:].strip()} (see {BASE / name})"


def _cancel_jobs() -> None:
    """Cancel all jobs while Slurm runs: the processes of a job outlive slurmd."""
    try:
        _start()
    except ClusterError as error:
        _say(f"jobs cannot be cancelled: {error}")
        return
    _run("scancel", *_jobs())
    if not _wait(lambda: not _jobs(), _PATIENCE_SECONDS):
        _say(f"these jobs do not end: {' '.join(_jobs())}")


def _jobs() -> list[str]:
    return _run("squeue", "--noheader", "--format=%A").stdout.split()


def _end(name: str) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _is_alive(name):
            os.kill(_recorded()[name][0], number)
        _wait(lambda: not _is_alive(name), 10)


def _is_alive(name: str) -> bool:
    pid, start = _recorded().get(name, (0, 0))
    return bool(start) and _start_time(pid) == start


def _recorded() -> dict[str, list[int]]:
    if not _PROCESSES.exists():
        return {}
    processes: dict[str, list[int]] = json.loads(_PROCESSES.read_text())
    return processes


def _start_time(pid: int) -> int:
    """Return when a process started, in ticks, which identifies it; 0 if it has ended."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if state == "Z" else int(rest[18])


def _run(
    *words: str, user: str | None = None, timeout: float = 20
) -> "subprocess.CompletedProcess[str]":
    """Run a command with the cluster's settings; one that hangs counts as failed."""
    try:
        return subprocess.run(
            words, env=_ENVIRONMENT, user=user, group=user, cwd="/", stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        return subprocess.CompletedProcess(words, returncode=1, stdout="", stderr=str(error))


def _missing_packages() -> list[str]:
    return [name for program, name in PACKAGES.items() if not shutil.which(program, path=_SEARCH)]


@contextmanager
def _lock() -> Iterator[None]:
    """Let one `up` or `down` work at a time; the lock is beside the folder, which may go."""
    with BASE.with_name(f"{BASE.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _need_root(command: str) -> None:
    if os.geteuid():
        raise ClusterError(f"this needs root; run `sudo {_COMMAND} {command}`")


def _say(line: str) -> None:
    print(f"slurm: {line}", file=sys.stderr)


def main() -> None:
    """Execute the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install the packages")
    starting = commands.add_parser("up", help="start it; prints the line that sets SLURM_CONF")
    hosts = "map the host name to 127.0.0.1 in /etc/hosts"
    starting.add_argument("--edit-hosts", action="store_true", help=hosts)
    ending = commands.add_parser("down", help="cancel all jobs and end the daemons")
    ending.add_argument("--purge", action="store_true", help="remove its files and the line too")
    options = vars(parser.parse_args())
    began = time.monotonic()
    command = options.pop("command")
    try:
        {"install": install, "up": up, "down": down}[command](**options)
    except ClusterError as error:
        sys.exit(f"slurm: error: {error}")
    _say(f"{command} took {time.monotonic() - began:.1f} s")
    if command == "up":
        print(f"export SLURM_CONF={CONFIG}")


if __name__ == "__main__":
    main()
