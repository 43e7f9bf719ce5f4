//! A computer and a provider in networks of their own (network_namespaces(7)), and ways from one to the other that change.
//!
//! ```text
//!  computer                                    provider
//!  10.1.0.2, or 10.2.0.2 ── lan ════ isp ── 10.1.0.1, 10.2.0.1     198.51.100.1
//! ```
//!
//! Whatever is started there stays there: processes, runtimes, sockets. The networks vanish with the last of them, and
//! with this process.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{PATIENCE, PROVIDER};

/// The two places the computer may be in: its address, and the way out.
const PLACES: [(&str, &str); 2] = [("10.1.0.2", "10.1.0.1"), ("10.2.0.2", "10.2.0.1")];

/// See the module.
pub struct Network {
    computer: Namespace,
    provider: Namespace,
    elsewhere: AtomicBool,
}

impl Network {
    /// Lays the cable; the computer is in the first place.
    pub fn new() -> Self {
        let network = Self {
            computer: Namespace::new(),
            provider: Namespace::new(),
            elsewhere: AtomicBool::new(false),
        };
        let provider = format!("/proc/{}/fd/{}", std::process::id(), network.provider.number());
        network.provider(|| ip("link set lo up"));
        network.computer(|| {
            ip("link set lo up");
            ip(&format!("link add lan type veth peer name isp netns {provider}"));
        });
        network.provider(|| {
            ip(&format!("address add {PROVIDER}/32 dev lo"));
            for (_, gateway) in PLACES {
                ip(&format!("address add {gateway}/24 dev isp"));
            }
            ip("link set isp up");
            // Behind the rules that lose packets.
            ip("rule add pref 100 lookup local");
            ip("rule del pref 0");
        });
        network.arrive();
        network
    }

    /// Does something on the computer.
    pub fn computer<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.computer.within(work)
    }

    /// Does something at the provider.
    pub fn provider<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.provider.within(work)
    }

    /// The computer's address.
    pub fn address(&self) -> &'static str {
        self.place().0
    }

    /// The computer is carried to the other place: it has another address and another way out.
    pub fn move_on(&self) {
        let address = self.address();
        self.computer(|| ip(&format!("address del {address}/24 dev lan")));
        self.elsewhere.fetch_xor(true, Ordering::SeqCst);
        self.arrive();
    }

    /// Somebody on the way forgets all connections there are, as a router does: nothing of them arrives any more, and nobody
    /// hears of it. New ones work.
    pub fn forget_connections(&self) {
        let address = self.address();
        let ports = self.ports("established");
        assert!(!ports.is_empty(), "there is no connection");
        for port in ports {
            self.lose(&format!("from {address} ipproto tcp sport {port}"));
            self.lose(&format!("to {address} ipproto tcp dport {port}"));
        }
    }

    /// From now on nothing goes either way in the place where the computer is.
    pub fn go_silent(&self) {
        let address = self.address();
        self.lose(&format!("from {address}"));
        self.lose(&format!("to {address}"));
    }

    /// Waits until the computer has an attempt to connect under way.
    pub fn until_connecting(&self) {
        let begun = std::time::Instant::now();
        while self.ports("syn-sent").is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nobody connects");
            // A SYN is no event without a dependency for it.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn lose(&self, packets: &str) {
        self.provider(|| ip(&format!("rule add pref 50 blackhole {packets}")));
    }

    fn arrive(&self) {
        let (address, gateway) = self.place();
        self.computer(|| {
            ip(&format!("address add {address}/24 dev lan"));
            ip("link set lan up");
            ip(&format!("route add default via {gateway}"));
        });
    }

    fn place(&self) -> (&'static str, &'static str) {
        PLACES[usize::from(self.elsewhere.load(Ordering::SeqCst))]
    }

    /// The computer's ends of its connections to the provider that are in this state.
    fn ports(&self, state: &str) -> Vec<u16> {
        let told = self.computer(|| run("ss", &format!("-Htn state {state} dst {PROVIDER}")));
        let ends = told.lines().filter_map(|line| line.split_whitespace().nth(2));
        ends.map(|end| end.rsplit(':').next().unwrap_or(end).parse().expect("a port")).collect()
    }
}

/// A network with nothing in it, which is there as long as this is.
struct Namespace(File);

impl Namespace {
    fn new() -> Self {
        let mut maker = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo made; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there; tests/run installs what the tests need");
        let mut made = String::new();
        let _ = BufReader::new(maker.stdout.take().expect("piped")).read_line(&mut made);
        let file = File::open(format!("/proc/{}/ns/net", maker.id()));
        drop(maker.stdin.take());
        let _ = maker.wait();
        assert_eq!(made, "made\n", "only root may make a network: run these tests as root");
        Self(file.expect("it was there"))
    }

    fn number(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.0.as_raw_fd()
    }

    /// In a thread of its own, since a thread stays where it is.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("only root may enter a network: run these tests as root");
            work()
        };
        let done = std::thread::scope(|scope| scope.spawn(inside).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn ip(words: &str) {
    run("ip", words);
}

fn run(command: &str, words: &str) -> String {
    let output = Command::new(command).args(words.split(' ')).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}; tests/run installs it"));
    assert!(output.status.success(), "{command} {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
