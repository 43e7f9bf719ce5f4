//! `footbridge demo` as a person meets it: the program, and mail programs in front of it.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use support::PATIENCE;
use support::process::{Log, program};

/// In the order in which the tests name ports.
const SERVICES: [&str; 3] = ["POP3", "IMAP", "SMTP"];

/// A running demo and what it said; stopped when dropped.
struct Demo {
    child: Child,
    log: Log,
}

impl Demo {
    /// Starts it in an empty home, at ports that the system chooses, and waits until it says that it is ready.
    fn start() -> Self {
        Self::start_at([0; 3])
    }

    /// The same, with the ports it begins to look at, in the order POP3, IMAP, SMTP.
    fn start_at(ports: [u16; 3]) -> Self {
        let [pop3, imap, smtp] = ports.map(|port| port.to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_footbridge"))
            .args(["demo", "--pop3", &pop3, "--imap", &imap, "--smtp", &smtp])
            .env_remove("FOOTBRIDGE_CONFIG")
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = Log::default();
        let lines = log.follow(child.stdout.take().expect("piped"));
        let _errors = log.follow(child.stderr.take().expect("piped"));
        let demo = Self { child, log };
        demo.until(&lines, "Press Ctrl-C");
        demo
    }

    fn until(&self, lines: &mpsc::Receiver<String>, wanted: &str) {
        while !lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{}", self.log.text())).contains(wanted)
        {
        }
    }

    /// What stands behind a label of its introduction.
    fn told(&self, label: &str) -> String {
        let text = self.log.text();
        let line = text.lines().find_map(|line| line.trim().strip_prefix(label).map(str::trim));
        line.unwrap_or_else(|| panic!("no {label} in {text}")).to_owned()
    }

    fn port(&self, service: &str) -> u16 {
        self.told(&format!("{service} port")).parse().expect("a port")
    }

    fn ports(&self) -> [u16; 3] {
        SERVICES.map(|service| self.port(service))
    }

    /// Whether it sent a message and fetched it back.
    fn has_shown_both_ways(&self) -> bool {
        self.log.text().lines().filter(|line| line.ends_with("  done")).count() == 2
    }

    /// Runs a Python script with the three ports, in the order POP3, IMAP, SMTP.
    fn python(&self, script: &str) {
        let ports = self.ports().map(|port| port.to_string());
        let mut child = Command::new("timeout")
            .args(["60", &program("python3"), "-"])
            .args(ports)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("timeout is there");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), script.as_bytes())
            .expect("it reads");
        let output = child.wait_with_output().expect("our own child");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}\n{}", self.log.text());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What each script begins with.
const BEGINNING: &str = "
import sys, imaplib, poplib, smtplib, email, email.policy, select
pop3_port, imap_port, smtp_port = map(int, sys.argv[1:])
USER, PASSWORD = 'demo@footbridge.test', 'demo'
def imap(folder='INBOX'):
    box = imaplib.IMAP4('127.0.0.1', imap_port)
    box.login(USER, PASSWORD)
    ok(box.select(folder))
    return box
def ok(answer):
    assert answer[0] == 'OK', answer
    return answer[1]
def told(answer):
    return b' '.join(b' '.join(part) if isinstance(part, tuple) else part for part in ok(answer)).decode()
";

fn script(rest: &str) -> String {
    [BEGINNING, rest].concat()
}

#[test]
fn it_says_what_to_type_and_shows_a_message_there_and_back() {
    let demo = Demo::start();
    assert_eq!(
        (demo.told("user name"), demo.told("password")),
        ("demo@footbridge.test".into(), "demo".into())
    );
    let text = demo.log.text();
    assert!(demo.has_shown_both_ways(), "{text}");
    assert!(!text.contains("WARN") && !text.contains("ERROR"), "{text}");
}

#[test]
fn ports_that_are_taken_are_passed_over_and_named() {
    let taken = SERVICES.map(|_| TcpListener::bind("127.0.0.1:0").expect("the system has a port"));
    let ports = taken.each_ref().map(|taken| taken.local_addr().expect("it is bound").port());
    let demo = Demo::start_at(ports);
    let text = demo.log.text();
    for (service, port) in SERVICES.iter().zip(ports) {
        assert_ne!(demo.port(service), port, "{text}");
        assert!(text.contains(&format!("{service} {port}")), "{text}");
    }
    assert!(demo.has_shown_both_ways(), "{text}");
}

/// The next free port behind one that is taken may be the very one that another service is asked to have.
#[test]
fn a_service_passes_over_the_ports_of_the_others() {
    let taken = (0..20).find_map(|_| {
        let taken = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
        let port = taken.local_addr().expect("it is bound").port();
        let next = port.checked_add(1).filter(|next| TcpListener::bind(("127.0.0.1", *next)).is_ok())?;
        Some((taken, port, next))
    });
    let (_taken, port, next) = taken.expect("two ports in a row");
    let demo = Demo::start_at([port, next, next]);
    let [pop3, imap, smtp] = demo.ports();
    assert!(pop3 != imap && imap != smtp && pop3 != smtp, "{}", demo.log.text());
    assert!(pop3 != next && demo.has_shown_both_ways(), "{}", demo.log.text());
}

#[test]
fn a_second_demo_beside_the_first_has_ports_and_mail_of_its_own() {
    let first = Demo::start();
    let second = Demo::start_at(first.ports());
    for (service, port) in SERVICES.iter().zip(first.ports()) {
        assert_ne!(second.port(service), port);
        assert!(second.log.text().contains(&format!("{service} {port}")), "{}", second.log.text());
    }
    assert!(first.has_shown_both_ways() && second.has_shown_both_ways());
    first.python(&script("ok(imap().create('Mine'))"));
    second.python(&script("assert 'Mine' not in told(imap().list())"));
}

/// Both look for free ports at the same moment, and each may bind what the other found.
#[test]
fn two_demos_that_start_at_once_both_fetch_their_message() {
    let free = Demo::start().ports();
    let demos = std::thread::scope(|scope| {
        let starting = [0, 1].map(|_| scope.spawn(|| Demo::start_at(free)));
        starting.map(|demo| demo.join().expect("it starts"))
    });
    for demo in &demos {
        assert!(demo.has_shown_both_ways(), "{}", demo.log.text());
    }
    let [one, other] = demos.each_ref().map(Demo::ports);
    assert!(one.iter().all(|port| !other.contains(port)), "{one:?} {other:?}");
}

#[test]
fn an_imap_program_finds_folders_structures_and_texts() {
    Demo::start().python(&script(
        r#"
box = imap()
listed = told(box.list())
for use in ('Sent', 'Drafts', 'Trash', 'Archive', 'Junk'):
    assert f'\\{use}) "/" {use}' in listed, listed
def number(subject):
    found = told(box.search(None, 'SUBJECT', f'"{subject}"')).split()
    assert len(found) == 1, (subject, found)
    return found[0]
walks = number('bridges')
structure = told(box.fetch(walks, '(BODYSTRUCTURE)'))
assert '"alternative"' in structure and '"html"' in structure, structure
assert 'weekly' in told(box.fetch(walks, '(ENVELOPE)'))
assert 'Über den Steg' in told(box.fetch(walks, '(BODY.PEEK[1])'))
assert '<b>footbridge</b>' in told(box.fetch(walks, '(BODY.PEEK[2])'))
assert 'Subject: =?utf-8?B?' in told(box.fetch(walks, '(BODY.PEEK[HEADER.FIELDS (SUBJECT)])'))
scan = number('Scan')
assert '"attachment" ("filename" "scan 20.png")' in told(box.fetch(scan, '(BODYSTRUCTURE)'))
assert 'BODY[TEXT]<0> {15}' in told(box.fetch(scan, '(BODY.PEEK[TEXT]<0.15>)'))
whole = email.message_from_bytes(ok(box.fetch(scan, '(RFC822)'))[0][1], policy=email.policy.default)
image = list(whole.iter_attachments())[0]
assert image.get_content()[:8] == b'\x89PNG\r\n\x1a\n' and image.get_filename() == 'scan 20.png'
assert b'Seen' in ok(box.fetch(scan, '(FLAGS)'))[0]
dots = ok(box.fetch(number('begin with a dot'), '(BODY.PEEK[TEXT])'))[0][1]
assert b'\r\n.\r\n..\r\n.profile\r\n...and' in dots, dots
ok(box.append('Drafts', '(\\Draft)', None, b'Subject: draft\r\n\r\nto be continued\r\n'))
ok(box.uid('MOVE', told(box.uid('SEARCH', 'SUBJECT', 'Scan')), 'Archive'))
assert told(box.status('Archive', '(MESSAGES)')) == 'Archive (MESSAGES 2)'
box.logout()
"#,
    ));
}

#[test]
fn what_is_sent_arrives_and_what_pop3_deletes_is_in_the_trash() {
    Demo::start().python(&script(
        r#"
watcher = imap()
before = int(ok(watcher.select('INBOX'))[0])
watcher.send(b'x IDLE\r\n')
assert watcher.readline().startswith(b'+')
with smtplib.SMTP('127.0.0.1', smtp_port) as smtp:
    smtp.login(USER, PASSWORD)
    smtp.sendmail('me@elsewhere.test', ['you@elsewhere.test'], 'Subject: Grüße\r\n\r\n.dot\r\n'.encode(),
                  mail_options=['BODY=8BITMIME'])
while (line := watcher.readline()) != b'* %d EXISTS\r\n' % (before + 1):
    assert line, 'the bridge hung up'
watcher.send(b'DONE\r\n')
while not watcher.readline().startswith(b'x OK'): pass
pop = poplib.POP3('127.0.0.1', pop3_port)
pop.user(USER); pop.pass_(PASSWORD)
count = pop.stat()[0]
assert count == before + 1
assert pop.retr(count)[1] == ['Subject: Grüße'.encode(), b'', b'.dot'], pop.retr(count)
pop.dele(count)
pop.quit()
assert int(ok(watcher.select('INBOX'))[0]) == before
trash = imap('Trash')
assert 'Grüße' in told(trash.fetch('1', '(BODY.PEEK[HEADER])'))
for wrong in (lambda: imaplib.IMAP4('127.0.0.1', imap_port).login(USER, 'wrong'),):
    try: wrong()
    except imaplib.IMAP4.error: pass
    else: assert False, 'any password will do'
"#,
    ));
}

#[test]
fn curl_lists_the_folders() {
    let demo = Demo::start();
    let at = SocketAddr::from(([127, 0, 0, 1], demo.port("IMAP")));
    let output = Command::new(program("curl"))
        .args(["-sS", "--max-time", "60", "-u", "demo@footbridge.test:demo", &format!("imap://{at}/")])
        .output()
        .expect("curl runs");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && listed.contains("\\Trash) \"/\" Trash"), "{listed}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_in_order() {
    let mut demo = Demo::start();
    let id = demo.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill is there").success());
    assert_eq!(demo.child.wait().expect("our own child").code(), Some(0));
}
