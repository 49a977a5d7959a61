"""nginx with the documented file in front of an application, with the check of each request and without it."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from scripts.benchmark.load import CONNECTIONS, Load, Request, Series, in_turn
from scripts.benchmark.machinery import ROOT, WORKERS, Keyrack, answers, wait_until
from scripts.benchmark.report import Goal, Section
from tests.ports import free_port

_FILE = ROOT / "docs/gateway/nginx.conf"
_CHECK = "        auth_request /_keyrack/verify;\n"
_LOAD = Load(seconds=3)
_GATEWAY_PORT, _KEYRACK_PORT, _APPLICATION_PORT = "8080", "8000", "9000"  # as the file has them


class Nginx:
    """A gateway of two processes. The application behind it is nginx too, which answers a short text."""

    def __init__(self, keyrack_port: str, *, asks: bool) -> None:
        port, application_port = str(free_port()), str(free_port())
        self.url = f"http://127.0.0.1:{port}"
        self._folder = tempfile.TemporaryDirectory(prefix="keyrack-bench-")
        folder = Path(self._folder.name)
        folder.chmod(0o755)  # nginx' workers are another user where its master is root
        text = _FILE.read_text(encoding="utf-8")
        if _CHECK not in text:
            raise SystemExit(f"{_FILE} has no line {_CHECK!r}")
        ports = {_GATEWAY_PORT: port, _KEYRACK_PORT: keyrack_port, _APPLICATION_PORT: application_port}
        (folder / "keyrack.conf").write_text(_with_ports(text if asks else text.replace(_CHECK, ""), ports))
        paths = " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        application = f'server {{ listen 127.0.0.1:{application_port}; location / {{ return 200 "hello"; }} }}'
        (folder / "nginx.conf").write_text(
            f"pid nginx.pid;\nworker_processes {WORKERS};\nevents {{}}\n"
            f"http {{\naccess_log off;\n{paths}\ninclude keyrack.conf;\n{application}\n}}\n"
        )
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if program is None:
            raise SystemExit("scripts/bench --only gateway needs nginx: apt install nginx-light")
        options = ["-p", self._folder.name, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
        self._process = subprocess.Popen([program, *options], stderr=subprocess.DEVNULL)
        wait_until(lambda: answers(self.url))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


def _with_ports(text: str, ports: Mapping[str, str]) -> str:
    for documented, used in ports.items():
        text = text.replace(f":{documented}", f":{used}")
    return text


def measure_gateway(rounds: int) -> Section:
    """Measure an application's route through nginx: unchecked, checked, and checked with VERIFY_LEASE=0."""
    with ExitStack() as started:
        keyracks = [started.enter_context(closing(Keyrack(**how))) for how in ({}, {"VERIFY_LEASE": "0"})]
        ports = [keyrack.server.url.rpartition(":")[2] for keyrack in keyracks]
        requests = [[Request("GET", "/channels/1", token) for token in keyrack.seeds.callers()] for keyrack in keyracks]
        without, checked, without_leases = "without the check", "with the check", "with the check, `VERIFY_LEASE=0`"
        gateways = {
            without: (started.enter_context(closing(Nginx(ports[0], asks=False))), requests[0]),
            checked: (started.enter_context(closing(Nginx(ports[0], asks=True))), requests[0]),
            without_leases: (started.enter_context(closing(Nginx(ports[1], asks=True))), requests[1]),
        }
        measured = {name: Series() for name in gateways}
        for nginx, sent in gateways.values():
            Load(seconds=1).run(nginx.url, sent)
        for number in range(rounds):
            for name, (nginx, sent) in in_turn(gateways, number):
                measured[name].append(_LOAD.run(nginx.url, sent))
    rows = [
        (name, f"{series.per_second:,.0f}", f"{series.p50_ms:.2f}", f"{series.p99_ms:.2f}")
        for name, series in measured.items()
    ]
    goals = [Goal("with the check / without it", measured[checked].per_second / measured[without].per_second, 0.35)]
    how = (
        f"nginx with [gateway/nginx.conf](gateway/nginx.conf) and {WORKERS} processes, {WORKERS} processes of Keyrack, "
        f"{CONNECTIONS} connections of wrk, all on the same cores. The application behind is nginx, which answers a "
        "short text: any other is slower, and the check a smaller share."
    )
    return Section("gateway", how, ("an application's route", "requests/s", "p50 ms", "p99 ms"), rows, goals)
