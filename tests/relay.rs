//! The benchmark's relay carries what it is given, in order, late by as much as it was told, and counts it.

#[path = "../benches/throughput/relay.rs"]
#[allow(dead_code)] // The benchmark adds and subtracts counts.
mod relay;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use relay::{Counts, Relay};

const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A relay to a server that says back whatever it hears.
fn echo() -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let relay = Relay::start(listener.local_addr().expect("its address")).expect("a relay");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut writing = stream.try_clone().expect("a second handle");
                let _ = io::copy(&mut &stream, &mut writing);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    relay
}

fn ask(stream: &mut TcpStream, octets: &[u8]) -> Vec<u8> {
    stream.write_all(octets).expect("it takes octets");
    let mut answer = vec![0; octets.len()];
    stream.read_exact(&mut answer).expect("it answers");
    answer
}

#[test]
fn no_answer_comes_before_a_round_trip_is_over() {
    let relay = echo();
    relay.delay(ROUND_TRIP);
    let begun = Instant::now();
    let mut stream = TcpStream::connect(relay.address()).expect("a connection");
    assert_eq!(ask(&mut stream, b"one"), b"one");
    assert!(begun.elapsed() >= ROUND_TRIP * 2, "the handshake and the first question are a round trip each");
    let begun = Instant::now();
    assert_eq!(ask(&mut stream, b"two"), b"two");
    assert!(begun.elapsed() >= ROUND_TRIP);
}

#[test]
fn questions_asked_one_by_one_are_counted_one_by_one() {
    for round_trip in [Duration::ZERO, Duration::from_millis(4)] {
        let relay = echo();
        relay.delay(round_trip);
        let mut stream = TcpStream::connect(relay.address()).expect("a connection");
        for _ in 0..7 {
            ask(&mut stream, b"question");
        }
        assert_eq!(relay.counts(), Counts { connections: 1, up: 56, down: 56, bursts: 7 });
    }
}

#[test]
fn a_delay_that_comes_and_goes_lets_nothing_overtake() {
    let relay = echo();
    let mut reading = TcpStream::connect(relay.address()).expect("a connection");
    let mut writing = reading.try_clone().expect("a second handle");
    let sent: Vec<u8> = (0..6_000_000_u32).map(|number| (number % 251) as u8).collect();
    let expected = sent.clone();
    let reader = thread::spawn(move || {
        let mut heard = Vec::new();
        reading.read_to_end(&mut heard).map(|_| heard)
    });
    for (number, piece) in sent.chunks(50_000).enumerate() {
        relay.delay(Duration::from_millis([0, 3, 1][number % 3]));
        writing.write_all(piece).expect("it takes octets");
    }
    writing.shutdown(Shutdown::Write).expect("the end is told");
    let heard = reader.join().expect("no panic").expect("it ends well");
    assert!(heard == expected, "{} octets of {}, or others", heard.len(), expected.len());
    assert_eq!(relay.counts().down, 6_000_000);
}

#[test]
fn a_rate_is_not_exceeded() {
    let relay = echo();
    relay.limit(1_000_000);
    let mut stream = TcpStream::connect(relay.address()).expect("a connection");
    let begun = Instant::now();
    ask(&mut stream, &[7; 50_000]);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn an_upstream_that_is_not_there_ends_the_connection() {
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let relay = Relay::start(nowhere).expect("a relay");
    let mut stream = TcpStream::connect(relay.address()).expect("a connection");
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
}
