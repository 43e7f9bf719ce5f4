"""Opens the mailbox of `footbridge demo` in Thunderbird and compares what it shows with what is there.

What is there is asked of the same bridge with Python's imaplib: another client, which decodes nothing. Standard library
only; run by tests/thunderbird/run.
"""

import contextlib
import email
import email.header
import email.policy
import email.utils
import imaplib
import json
import os
import pathlib
import re
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

from marionette import Marionette

HERE = pathlib.Path(__file__).parent

# Everything together; a first start of Thunderbird takes some ten seconds on a slow machine.
SECONDS = 300

# What one script in Thunderbird may take.
SCRIPT_SECONDS = 60

# No first-run pages, and no web: HTTP goes to a proxy on a port where nothing listens.
PREFERENCES = {
    "app.donation.eoy.version.viewed": 999,
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "calendar.timezone.useSystemTimezone": True,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.blocklist.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "mail.account.account1.server": "server1",
    "mail.accountmanager.accounts": "account1",
    "mail.accountmanager.localfoldersserver": "server1",
    "mail.biff.show_alert": False,
    "mail.biff.play_sound": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.server.server1.hostname": "Local Folders",
    "mail.server.server1.name": "Local Folders",
    "mail.server.server1.type": "none",
    "mail.server.server1.userName": "nobody",
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "marionette.port": 0,
    "network.connectivity-service.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.type": 1,
    "remote.prefs.recommended": True,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
    "xpinstall.enabled": False,
}


class Wrong(Exception):
    """What was seen is not what should be."""


def check(what, seen, wanted):
    """Says that they are the same, or shows both."""
    if seen != wanted:
        show = lambda value: json.dumps(value, indent=1, ensure_ascii=False, default=repr)
        raise Wrong(f"{what}: Thunderbird shows\n{show(seen)}\nand there is\n{show(wanted)}")
    print(f"ok  {what}", flush=True)


def until(what, seconds, look, enough=bool):
    """Looks again and again until what is seen is enough."""
    end = time.monotonic() + seconds
    while not enough(seen := look()):
        if time.monotonic() > end:
            raise Wrong(f"{what}: not after {seconds} seconds; last seen: {seen!r}")
        time.sleep(0.05)
    return seen


@contextlib.contextmanager
def program(command, **options):
    """A program in a process group of its own, which ends with the block."""
    process = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        for ending in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, ending)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


@contextlib.contextmanager
def told_on_failure(log):
    """A new file to log to, whose last lines are shown if the block fails."""
    try:
        with log.open("wb") as out:
            yield out
    except Exception:
        print(f"The end of {log.name}:", file=sys.stderr)
        sys.stderr.writelines(log.read_text(errors="replace").splitlines(True)[-40:])
        raise


@contextlib.contextmanager
def demo(binary, log):
    """`footbridge demo`, and what it says to type into a mail app; its log goes to a file."""
    command = [binary, "--log", "debug", "demo", "--pop3", "0", "--imap", "0", "--smtp", "0"]
    with told_on_failure(log) as out, program(command, stdout=subprocess.PIPE, stderr=out, text=True) as process:
        said = ""
        while "Press Ctrl-C" not in said:
            line = process.stdout.readline()
            if not line:
                raise Wrong(f"footbridge demo ended early; it said:\n{said}")
            said += line
        find = lambda name: re.search(rf"^ *{name} +(\S+)$", said, re.MULTILINE)[1]
        names = {"address": "e-mail address", "password": "password"}
        ports = {name: int(find(f"{name.upper()} port")) for name in ("imap", "pop3", "smtp")}
        yield {key: find(name) for key, name in names.items()} | ports


@contextlib.contextmanager
def screen():
    """A screen in memory, on the first free display."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
    with program(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        number = process.stdout.readline().strip()
        if not number:
            raise Wrong("Xvfb gave no display")
        yield f":{number}"


@contextlib.contextmanager
def thunderbird(home, display):
    """Thunderbird with a new profile in `home`, under remote control."""
    profile = home / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ}
    surroundings = kept | {
        "DISPLAY": display,
        "HOME": str(home),
        "MOZ_CRASHREPORTER_DISABLE": "1",
        "MOZ_DISABLE_CONTENT_SANDBOX": "1",
        "XDG_RUNTIME_DIR": str(home),
    }
    command = ["thunderbird", "--no-remote", "--profile", str(profile)]
    command += ["--marionette", "--remote-allow-system-access"]
    with told_on_failure(home / "thunderbird.log") as out:
        with program(command, env=surroundings, stdout=out, stderr=out) as process:
            yield control(process, profile)


def control(process, profile):
    """The connection to a Thunderbird whose main window is open."""

    def port():
        if process.poll() is not None:
            raise Wrong(f"Thunderbird ended with {process.returncode}")
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((profile / "MarionetteActivePort").read_text())

    bird = Marionette(until("Thunderbird listens", 120, port), SCRIPT_SECONDS)
    look = "return Services.wm.getMostRecentWindow('mail:3pane')?.document.readyState == 'complete'"
    until("Thunderbird's window", 60, lambda: bird.run(look))
    return bird


class Account:
    """One account in Thunderbird; its methods are those of mail.js."""

    def __init__(self, bird, kind, told):
        self._bird = bird
        self._script = (HERE / "mail.js").read_text()
        self._key = self._run("addAccount", kind, told[kind], told["address"], told["password"])

    def _run(self, function, *arguments):
        return self._bird.run(f"{self._script}\nreturn {function}(...arguments);", *arguments)

    def __getattr__(self, function):
        return lambda *arguments: self._run(function, self._key, *arguments)


def decoded(text):
    return str(email.header.make_header(email.header.decode_header(text)))


def mailbox(told):
    """What is there: folder to a list of messages, each with its octets and flags."""
    found = {}
    with imaplib.IMAP4("127.0.0.1", told["imap"]) as imap:
        imap.login(told["address"], told["password"])
        for line in imap.list()[1]:
            name = re.fullmatch(rb'\([^)]*\) "/" "?(.*?)"?', line)[1].decode()
            imap.select(f'"{name}"', readonly=True)
            answer = imap.fetch("1:*", "(FLAGS BODY.PEEK[])")[1]
            parts = [part for part in answer if isinstance(part, tuple)]
            found[name.replace("&-", "&")] = [message(*part) for part in parts]
    return found


def message(start, octets):
    header = email.message_from_bytes(octets)
    return {
        "octets": octets,
        "id": header["Message-ID"].strip("<>"),
        "subject": decoded(header["Subject"]),
        "date": int(email.utils.parsedate_to_datetime(header["Date"]).timestamp()),
        "read": b"\\Seen" in start,
        "flagged": b"\\Flagged" in start,
        "answered": b"\\Answered" in start,
    }


def shown(messages, *keys):
    """Some facts of each message, in an order that both sides have."""
    return sorted(([message[key] for key in keys] for message in messages), key=repr)


def as_sent(source):
    """A message without the lines that Thunderbird's own files have at its start; its line ends as LF."""
    text = source.encode("latin-1").replace(b"\r\n", b"\n")
    return re.sub(rb"\A(X-(Account-Key|UIDL|Mozilla-[A-Za-z0-9]+):.*\n)+", b"", text)


def check_source(kind, account, path, one):
    seen = as_sent(account.source(path, one["id"]))
    check(f"{kind}: octets of {one['subject']!r}", seen, one["octets"].replace(b"\r\n", b"\n"))


USES = {"INBOX": "Inbox", "Sent": "SentMail", "Drafts": "Drafts", "Archive": "Archive", "Junk": "Junk", "Trash": "Trash"}


def by_imap(account, there):
    account.receive()
    account.discover()
    seen = until("all folders by IMAP", 30, account.folders, lambda folders: set(there) <= set(folders))
    check("IMAP: folders and their special use", seen, {name: USES.get(name) for name in there})
    for name, held in there.items():
        account.openFolder(name)
        facts = ("id", "subject", "date", "read", "flagged", "answered")
        check(f"IMAP: messages of {name}", shown(account.messages(name), *facts), shown(held, *facts))
        for one in held:
            check_source("IMAP", account, name, one)
    scan = next(one["id"] for one in there["INBOX"] if "Scan" in one["subject"])
    check("IMAP: an attachment's name", account.attachments("INBOX", scan), ["scan 20.png"])


def by_pop3(account, there):
    account.receive()
    seen = account.messages("Inbox")
    facts = ("id", "subject", "date")
    check("POP3: messages of the maildrop", shown(seen, *facts), shown(there["INBOX"], *facts))
    for one in there["INBOX"]:
        check_source("POP3", account, "Inbox", one)


def new_mail(account, told, log):
    """A message that arrives while Thunderbird waits in INBOX (RFC 2177)."""
    account.openFolder("INBOX")
    until("Thunderbird waits with IDLE", 30, log.read_text, lambda text: 'command="IDLE"' in text)
    with smtplib.SMTP("127.0.0.1", told["smtp"]) as smtp:
        smtp.login(told["address"], told["password"])
        text = "From: {0}\r\nTo: {0}\r\nDate: {1}\r\nMessage-ID: <late@footbridge.test>\r\nSubject: Late\r\n\r\nGood night.\r\n"
        smtp.sendmail(told["address"], [told["address"]], text.format(told["address"], email.utils.formatdate()))
    ids = lambda: [one["id"] for one in account.messages("INBOX")]
    until("the message that arrived", 60, ids, lambda seen: "late@footbridge.test" in seen)
    print("ok  IMAP: a message that arrives is shown unasked", flush=True)


def deletion(account, told):
    """What is deleted in Thunderbird is in Trash for every other client (RFC 6851)."""
    account.remove("INBOX", "late@footbridge.test")
    places = lambda: [name for name, held in mailbox(told).items() if any("late@" in one["id"] for one in held)]
    until("the deleted message is in Trash only", 30, places, ["Trash"].__eq__)
    print("ok  IMAP: a deleted message is in Trash, and only there", flush=True)


def sending(account, told):
    """What is written in Thunderbird arrives, and lies in Sent, whole: dots, and letters beyond ASCII."""
    account.addOutgoing(told["smtp"], told["address"], told["password"])
    text = "Grüße von hier:\n.\n..\n.profile\n"
    account.send(told["address"], "Ein Gruß", text, "Sent")

    def arrived():
        found = mailbox(told)
        return [[plain(one) for one in found[name] if one["subject"] == "Ein Gruß"] for name in ("INBOX", "Sent")]

    until("the sent message is in INBOX and in Sent", 30, arrived, [[text], [text]].__eq__)
    print("ok  SMTP: a message that is sent arrives whole, with a copy in Sent by IMAP", flush=True)


def plain(one):
    body = email.message_from_bytes(one["octets"], policy=email.policy.default).get_content()
    return body.replace("\r\n", "\n").rstrip("\n") + "\n"


def too_long(*_):
    raise Wrong(f"not done after {SECONDS} seconds")


def main(binary):
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    with contextlib.ExitStack() as stack:
        home = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        log = home / "footbridge.log"
        told = stack.enter_context(demo(binary, log))
        display = stack.enter_context(screen())
        there = mailbox(told)
        bird = stack.enter_context(thunderbird(home, display))
        pop3 = Account(bird, "pop3", told)
        by_pop3(pop3, there)
        imap = Account(bird, "imap", told)
        by_imap(imap, there)
        new_mail(imap, told, log)
        deletion(imap, told)
        sending(imap, told)


if __name__ == "__main__":
    main(sys.argv[1])
