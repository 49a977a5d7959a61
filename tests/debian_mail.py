"""Debian's Postfix and Exim, each on a port of its own, with mailboxes for ada and bob at example.com.

`.ci/mail-servers` unpacks them into a root directory, in which they run by chroot: their users, paths and set-group-id
programs are those of the package, and the system has none of them.
"""

import email
import os
import shutil
import smtplib
import subprocess
import tempfile
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path

from tests.ports import free_port
from tests.servers import missing, wait_until

_ROOT = Path(__file__).parents[1] / "var" / "mail-servers"
_POSTFIX, _EXIM = 101, 102  # users in the root's passwd

_POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {place}/queue
data_directory = {place}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = /tmp
maillog_file = {place}/log
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.org
mydestination =
alias_maps =
local_transport = error:none is here
virtual_mailbox_domains = example.com
virtual_mailbox_maps = texthash:{place}/boxes
virtual_mailbox_base = {place}/mail
virtual_uid_maps = static:101
virtual_gid_maps = static:101
smtpd_tls_chain_files = {place}/mail.pem
smtpd_tls_security_level = may
{more}
"""
_POSTFIX_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
"""
_POSTFIX_QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"),
    *("maildrop", "pid", "public"),
)

# No queue runner is started: what is left lying stays there. As Debian has it, no SMTPUTF8 is offered.
_EXIM_CONFIG = """
exim_user = Debian-exim
exim_group = Debian-exim
deliver_drop_privilege
spool_directory = {place}/spool
log_file_path = {place}/spool/%slog
primary_hostname = mail.example.org
domainlist local_domains = example.com
smtputf8_advertise_hosts =
tls_advertise_hosts = *
tls_certificate = {place}/mail.pem
acl_smtp_rcpt = check
{more}

begin acl
check:
  deny ! domains = +local_domains
       message = relay not permitted
  deny ! verify = recipient
  {needs_login}
  accept

begin routers
boxes:
  driver = accept
  domains = +local_domains
  local_parts = ada : bob
  transport = box

begin transports
box:
  driver = appendfile
  maildir_format
  directory = {place}/mail/$local_part_data
  user = Debian-exim
  group = Debian-exim

begin authenticators
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = fail
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and {{{{eq{{$auth2}}{{keyrack}}}}{{eq{{$auth3}}{{sesame}}}}}}}}
  server_advertise_condition = ${{if def:tls_in_cipher}}
"""


class DebianMailServer:
    """What both have: a folder within the root, a log, and mailboxes of the people of example.com."""

    def __init__(self, name: str, user: int, pem: str) -> None:
        if not _ROOT.is_dir() or os.geteuid():
            missing(f"{name}, which root has by .ci/mail-servers,")
        self.name = name
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_ROOT / "tmp"))
        self._folder.chmod(0o755)
        self._place = f"/tmp/{self._folder.name}"
        shutil.copy(pem, self._folder / "mail.pem")
        (self._folder / "mail").mkdir()
        for path in (self._folder / "mail", self._folder / "mail.pem"):
            os.chown(path, user, user)

    def _start(self, *command: str) -> None:
        for path in self._folder.rglob("*"):  # whatever the umask of the tests is
            path.chmod(0o755 if path.is_dir() else 0o644)
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                ["chroot", _ROOT, *command], cwd="/", stdout=output, stderr=subprocess.STDOUT, umask=0o022
            )
        wait_until(self._answers, f"{self.name} did not start", within_s=60)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "output").read_text()
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=5):
                return True
        except OSError:
            return False

    def inbox(self, person: str) -> list[EmailMessage]:
        files = sorted((self._folder / "mail").glob(f"{person}/new/*"))
        return [email.message_from_bytes(file.read_bytes(), policy=SMTPUTF8) for file in files]

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self._logs() if path.exists())

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._folder)


class Postfix(DebianMailServer):
    def __init__(self, pem: str, more: str = "") -> None:
        """
        Args:
            more: Lines of main.cf.
        """
        super().__init__("postfix", _POSTFIX, pem)
        config = self._folder / "config"
        for folder in (config, self._folder / "data", self._folder / "queue"):
            folder.mkdir()
        (config / "main.cf").write_text(_POSTFIX_MAIN.format(place=self._place, more=more))
        (config / "master.cf").write_text(_POSTFIX_MASTER.format(port=self.port))
        (self._folder / "boxes").write_text("ada@example.com ada/\nbob@example.com bob/\nzoë@example.com zoe/\n")
        for queue in _POSTFIX_QUEUES:
            (self._folder / "queue" / queue).mkdir()
            os.chown(self._folder / "queue" / queue, _POSTFIX, 0)
        os.chown(self._folder / "queue" / "pid", 0, 0)
        os.chown(self._folder / "data", _POSTFIX, 0)
        self._start("/usr/lib/postfix/sbin/master", "-d", "-c", f"{self._place}/config")

    def _logs(self) -> list[Path]:
        return [self._folder / "log"]


class Exim(DebianMailServer):
    def __init__(self, pem: str, more: str = "", *, needs_login: bool = False) -> None:
        """
        Args:
            more: Lines of the main part of the configuration.
        """
        super().__init__("exim", _EXIM, pem)
        spool = self._folder / "spool"
        spool.mkdir()
        os.chown(spool, _EXIM, _EXIM)
        login = "deny ! authenticated = *" if needs_login else ""
        text = _EXIM_CONFIG.format(place=self._place, more=more, needs_login=login)
        (self._folder / "config").write_text(text)
        interface = f"127.0.0.1.{self.port}"
        self._start("/usr/sbin/exim4", "-C", f"{self._place}/config", "-bdf", "-oX", interface, "-oP", "/dev/null")

    def _logs(self) -> list[Path]:
        return [self._folder / "spool" / name for name in ("mainlog", "rejectlog", "paniclog")]
