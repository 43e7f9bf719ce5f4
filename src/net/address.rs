//! From a host name to the first address that answers (RFC 8305, "Happy Eyeballs").
//!
//! A dead IPv6 does not hold up a live IPv4, nor one dead address of twenty the others. Nothing is remembered:
//! the next connect asks the resolver again, so that a passing failure passes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Attempts at the same time. With 250 ms between starts each address has two seconds before it gives way, time for
/// one lost SYN (sent again after 1 s); and a hundred logins into a black hole stay within 1,024 descriptors.
const IN_FLIGHT: usize = 8;

/// Addresses of one name that are tried: twice the longest answers of large providers.
const ADDRESSES: usize = 32;

/// Every address of the host, in the order in which to try them; never empty.
pub(super) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = without_brackets(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let addresses = interleave(tokio::net::lookup_host((bare, port)).await?);
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

/// An IPv6 address may come as a URL writes it.
pub(super) fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// One of each family in turn, the resolver's first choice first (RFC 8305 §4); each address once.
fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut first, mut second) = (VecDeque::new(), VecDeque::new());
    for address in addresses {
        let family = match first.front() {
            Some(leader) if SocketAddr::is_ipv6(leader) != address.is_ipv6() => &mut second,
            _ => &mut first,
        };
        if !family.contains(&address) {
            family.push_back(address);
        }
    }
    let mut order = Vec::new();
    while order.len() < ADDRESSES && !(first.is_empty() && second.is_empty()) {
        order.extend(first.pop_front());
        order.extend(second.pop_front());
    }
    order
}

/// The first attempt that succeeds; the others are dropped.
///
/// The next address is started after `head_start`, or at once when one failed (RFC 8305 §5). Where all fail the
/// error is the most telling one. There is no deadline here.
pub(super) async fn race<T, A, F>(addresses: &[SocketAddr], head_start: Duration, attempt: A) -> io::Result<T>
where
    A: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    let mut running = VecDeque::with_capacity(IN_FLIGHT);
    let mut waiting = addresses.iter();
    let mut fault = None;
    loop {
        if let Some(address) = waiting.next() {
            if running.len() == IN_FLIGHT {
                running.pop_front();
            }
            running.push_back(Box::pin(attempt(*address)));
        } else if running.is_empty() {
            return Err(fault.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
        }
        tokio::select! {
            biased;
            outcome = first_done(&mut running) => match outcome {
                Ok(stream) => return Ok(stream),
                Err(error) => fault = Some(more_telling(fault, error)),
            },
            () = tokio::time::sleep(head_start), if !waiting.as_slice().is_empty() => {}
        }
    }
}

/// The outcome of the attempt that ends first, which leaves the list.
async fn first_done<T, F>(running: &mut VecDeque<Pin<Box<F>>>) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let poll_all = |cx: &mut Context<'_>| {
        for at in 0..running.len() {
            let done = running.get_mut(at).map(|attempt| attempt.as_mut().poll(cx));
            if let Some(Poll::Ready(outcome)) = done {
                running.remove(at);
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    };
    poll_fn(poll_all).await
}

/// A refusal says more than a family this computer has no route for.
fn more_telling(before: Option<io::Error>, now: io::Error) -> io::Error {
    let routeless = matches!(
        now.kind(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    );
    match before {
        Some(before) if routeless => before,
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::{Instant, sleep};

    use super::*;

    const HEAD_START: Duration = Duration::from_millis(250);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// 192.0.2.0/24 is for documentation (RFC 5737); nothing is sent there.
    fn addresses(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(|n| SocketAddr::from(([192, 0, 2, n], 993))).collect()
    }

    #[tokio::test]
    async fn literals_need_no_resolver() {
        assert_eq!(resolve("192.0.2.7", 993).await.unwrap(), [address("192.0.2.7:993")]);
        assert_eq!(resolve("[::1]", 143).await.unwrap(), [address("[::1]:143")]);
        assert_eq!(resolve("::1", 143).await.unwrap(), [address("[::1]:143")]);
    }

    /// RFC 8305 §4.
    #[test]
    fn families_alternate_and_the_resolvers_choice_leads() {
        let told = ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1"];
        let order = ["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1"];
        assert_eq!(interleave(told.map(address)), order.map(address));
        let four_first = ["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"];
        assert_eq!(
            interleave(four_first.map(address)),
            [four_first[0], four_first[2], four_first[1]].map(address)
        );
        assert!(interleave(addresses(200)).len() <= ADDRESSES);
        assert!(interleave([]).is_empty());
    }

    /// RFC 8305 §5: a dead first address costs one head start.
    #[tokio::test(start_paused = true)]
    async fn a_silent_first_address_costs_one_head_start() {
        let begun = Instant::now();
        let silent = addresses(1)[0];
        let both = addresses(2);
        let won = race(&both, HEAD_START, async |at| {
            if at == silent {
                sleep(Duration::from_secs(3600)).await;
            }
            Ok(at)
        });
        assert_eq!(won.await.unwrap(), both[1]);
        assert_eq!(begun.elapsed(), HEAD_START);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_address_makes_room_at_once() {
        let begun = Instant::now();
        let five = addresses(5);
        let last = five[4];
        let won = race(&five, HEAD_START, async |at| {
            if at == last { Ok(at) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
        });
        assert_eq!(won.await.unwrap(), last);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_refuse_the_answer_comes_at_once_and_says_so() {
        let begun = Instant::now();
        let six = addresses(3)[2];
        let lost: io::Result<()> = race(&addresses(3), HEAD_START, async |at| {
            let kind =
                if at == six { io::ErrorKind::NetworkUnreachable } else { io::ErrorKind::ConnectionRefused };
            Err(kind.into())
        })
        .await;
        assert_eq!(lost.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    /// Twenty addresses of which the last works: each is tried, few at the same time, and the losers are dropped.
    #[tokio::test(start_paused = true)]
    async fn twenty_addresses_of_which_one_works() {
        struct Open<'a>(&'a Cell<usize>);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let (open, most, tried) = (Cell::new(0), Cell::new(0), RefCell::new(Vec::new()));
        let all = addresses(20);
        let begun = Instant::now();
        let won = race(&all, HEAD_START, |at| {
            open.set(open.get() + 1);
            most.set(most.get().max(open.get()));
            tried.borrow_mut().push(at);
            let (open, last) = (Open(&open), at == all[19]);
            async move {
                let _open = open;
                if !last {
                    sleep(Duration::from_secs(3600)).await;
                }
                Ok(at)
            }
        });
        assert_eq!(won.await.unwrap(), all[19]);
        assert_eq!(*tried.borrow(), all);
        assert_eq!(most.get(), IN_FLIGHT);
        assert_eq!(open.get(), 0);
        assert_eq!(begun.elapsed(), HEAD_START * 19);
    }

    #[tokio::test]
    async fn no_address_at_all_is_an_error() {
        let none = race(&[], HEAD_START, async |_| Ok(())).await;
        assert!(none.is_err());
    }
}
