//! Addresses that come and go as a test says, under connections of loopback, which nobody looks at otherwise.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::*;

/// Two looks, and no more than a tick of the clock.
const FOUND: Duration = Duration::from_millis(7010);

/// Whether the address is there, and how often somebody looked.
#[derive(Clone, Default)]
struct Fake {
    missing: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
}

impl Fake {
    fn addresses(&self) -> OwnAddresses {
        let Self { missing, looks } = self.clone();
        OwnAddresses::told_by(move |_| {
            looks.fetch_add(1, Ordering::SeqCst);
            !missing.load(Ordering::SeqCst)
        })
    }

    fn is_missing(&self, missing: bool) {
        self.missing.store(missing, Ordering::SeqCst);
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
}

/// A connection that goes out from an address which is looked at, and its other end.
async fn connected(addresses: &OwnAddresses) -> (Watched, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(to), listener.accept());
    let near = near.unwrap();
    let local = near.local_addr().unwrap();
    (Watched::new(near, Some(addresses.look_at(local))), far.unwrap().0)
}

fn is_gone<T: fmt::Debug>(outcome: io::Result<T>) {
    let error = outcome.unwrap_err();
    assert!(Gone::is_in(&error) && error.kind() == io::ErrorKind::ConnectionAborted, "{error:?}");
    assert_eq!(error.to_string(), "this computer no longer has the address that the connection used");
}

/// As a command in flight, an app in IDLE and a body half way wait for upstream.
#[tokio::test(start_paused = true)]
async fn who_waits_for_octets_hears_that_the_address_is_gone() {
    let fake = Fake::default();
    let (mut near, mut far) = connected(&fake.addresses()).await;
    far.write_all(b"* 1 FETCH (BODY[] {9}\r\nhalf").await.unwrap();
    near.read_exact(&mut [0; 27]).await.unwrap();
    fake.is_missing(true);
    let begun = Instant::now();
    is_gone(near.read_u8().await);
    assert!(begun.elapsed() <= FOUND, "{:?}", begun.elapsed());
    // And everybody who asks again.
    is_gone(near.read_u8().await);
}

/// As a message on its way upstream does, once the system takes no more of it.
#[tokio::test(start_paused = true)]
async fn who_waits_for_room_hears_it_too_and_what_came_before_is_not_lost() {
    let fake = Fake::default();
    let (mut near, mut far) = connected(&fake.addresses()).await;
    far.write_all(b"* BYE\r\n").await.unwrap();
    fake.is_missing(true);
    let begun = Instant::now();
    let sent = async {
        loop {
            near.write_all(&[7; 1 << 20]).await?;
        }
    };
    is_gone::<()>(sent.await);
    assert!(begun.elapsed() <= FOUND, "{:?}", begun.elapsed());
    let mut heard = [0; 7];
    near.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"* BYE\r\n");
    is_gone(near.read_u8().await);
}

/// Two tasks, one of which reads and one of which writes.
#[tokio::test(start_paused = true)]
async fn both_directions_hear_it() {
    let fake = Fake::default();
    let (near, _far) = connected(&fake.addresses()).await;
    let (mut reading, mut writing) = tokio::io::split(near);
    let reader = tokio::spawn(async move { reading.read_u8().await });
    let writer = tokio::spawn(async move {
        loop {
            writing.write_all(&[7; 1 << 20]).await?;
        }
        #[allow(unreachable_code)]
        Ok(())
    });
    fake.is_missing(true);
    is_gone(reader.await.unwrap());
    is_gone(writer.await.unwrap());
}

/// A lease that is renewed: the address is away between two looks, or at one of them.
#[tokio::test(start_paused = true)]
async fn an_address_that_is_away_for_a_moment_costs_nothing() {
    let fake = Fake::default();
    let (mut near, mut far) = connected(&fake.addresses()).await;
    for (from, to) in [(1000, 3900), (3500, 4500)] {
        let looks = fake.looks();
        let waits = async {
            sleep(Duration::from_millis(from)).await;
            fake.is_missing(true);
            sleep(Duration::from_millis(to - from)).await;
            fake.is_missing(false);
            while fake.looks() < looks + 2 {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            outcome = near.read_u8() => panic!("{outcome:?}"),
            () = waits => {}
        }
    }
    far.write_all(b"+").await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), b'+');
}

/// A command that the system still has when the address goes must not reach the provider after the app was told that it
/// failed; laptops come back to where they were.
#[tokio::test(start_paused = true)]
async fn what_was_not_sent_when_the_address_went_is_never_sent() {
    let fake = Fake::default();
    let (mut near, mut far) = connected(&fake.addresses()).await;
    let mut pieces = 0;
    while timeout(Duration::from_secs(1), near.write_all(&[7; 1 << 16])).await.is_ok() {
        pieces += 1;
    }
    fake.is_missing(true);
    is_gone(near.read_u8().await);
    drop(near);
    let mut heard = Vec::new();
    let end = far.read_to_end(&mut heard).await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(heard.len() < pieces << 16, "all of it came");
}

/// Nobody wakes the computer for connections that are over, and one task looks for all of them.
#[tokio::test(start_paused = true)]
async fn an_address_is_looked_at_once_for_all_and_only_while_it_is_used() {
    let fake = Fake::default();
    let addresses = fake.addresses();
    for _ in 0..2 {
        let before = fake.looks();
        let all = [connected(&addresses).await, connected(&addresses).await, connected(&addresses).await];
        sleep(LOOK * 10 + Duration::from_secs(1)).await;
        assert_eq!(fake.looks() - before, 10);
        drop(all);
        sleep(LOOK * 10).await;
        assert_eq!(fake.looks() - before, 10);
        assert!(!addresses.used().looking && addresses.used().addresses.is_empty());
    }
}

/// The address is back after the old connections were given up: new ones live.
#[tokio::test(start_paused = true)]
async fn a_new_connection_from_an_address_that_came_back_is_another_one() {
    let fake = Fake::default();
    let addresses = fake.addresses();
    let (mut old, _far) = connected(&addresses).await;
    fake.is_missing(true);
    is_gone(old.read_u8().await);
    fake.is_missing(false);
    let (mut new, mut far) = connected(&addresses).await;
    sleep(LOOK * 3).await;
    far.write_all(b"+").await.unwrap();
    assert_eq!(new.read_u8().await.unwrap(), b'+');
    is_gone(old.read_u8().await);
}

/// As an attempt to connect does that began in the old network.
#[tokio::test(start_paused = true)]
async fn work_that_needs_an_address_ends_with_it() {
    let fake = Fake::default();
    let address = fake.addresses().look_at(([192, 0, 2, 1], 0).into());
    fake.is_missing(true);
    let begun = Instant::now();
    is_gone::<()>(unless_gone(Some(address), std::future::pending()).await);
    assert!(begun.elapsed() <= FOUND);
}

#[tokio::test]
async fn loopback_is_never_looked_at() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = OwnAddresses::default();
    let stream = addresses.connect(listener.local_addr().unwrap()).await.unwrap();
    assert!(stream.address.is_none() && !addresses.used().looking);
}

/// 192.0.2.0/24 is for documentation (RFC 5737), 2001:db8::/32 too (RFC 3849).
#[test]
fn the_system_says_which_addresses_are_ours() {
    for ours in ["127.0.0.1:0", "0.0.0.0:0"] {
        assert!(is_ours(ours.parse().unwrap()), "{ours}");
    }
    assert!(!is_ours("192.0.2.7:0".parse().unwrap()));
    // A computer without IPv6 says something else, which decides nothing.
    let without = Socket::new(Domain::IPV6, Type::STREAM, None).is_err();
    assert_eq!(is_ours("[2001:db8::7]:0".parse().unwrap()), without);
}
