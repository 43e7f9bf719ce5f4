//! Real connections on loopback, told by each way there is.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Each way alone, and both together as it is used.
fn ways() -> [(&'static str, Owners); 3] {
    [
        ("sock_diag", Owners::by_diag()),
        ("tables", Owners::by_tables("/proc/net".as_ref())),
        ("both", Owners::default()),
    ]
}

/// An app's end and ours.
async fn connected(listener: &TcpListener, from: Domain) -> (Socket, TcpStream) {
    let ours = listener.local_addr().unwrap();
    let to = match ours {
        SocketAddr::V4(ours) if from == Domain::IPV6 => {
            SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), ours.port()))
        }
        ours => ours,
    };
    let app = Socket::new(from, Type::STREAM, None).unwrap();
    // The system's queue takes it, so nobody has to accept meanwhile.
    app.connect(&to.into()).unwrap();
    (app, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn our_own_program_is_known_over_ipv4_ipv6_and_ipv4_in_ipv6() {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    for (way, owners) in ways() {
        for (listener, from) in [(&v4, Domain::IPV4), (&v6, Domain::IPV6), (&v4, Domain::IPV6)] {
            let (_app, accepted) = connected(listener, from).await;
            assert_eq!(owners.of(&accepted).await.unwrap(), Owner::Ours, "{way}, {listener:?}, {from:?}");
        }
    }
}

/// RFC 9293 §3.6: an app that has said all it had to say still hears.
#[tokio::test]
async fn an_app_that_has_ended_its_direction_is_still_known() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for (way, owners) in ways() {
        let (app, accepted) = connected(&listener, Domain::IPV4).await;
        app.shutdown(std::net::Shutdown::Write).unwrap();
        accepted.readable().await.unwrap();
        assert_eq!(owners.of(&accepted).await.unwrap(), Owner::Ours, "{way}");
    }
}

/// An endpoint without a program has user 0 in the kernel's answer: it is not the administrator's.
#[tokio::test]
async fn a_connection_that_was_closed_or_reset_is_nobodys_any_more() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for (way, owners) in ways() {
        let (app, accepted) = connected(&listener, Domain::IPV4).await;
        app.send(b"said and gone").unwrap();
        drop(app);
        assert_eq!(owners.of(&accepted).await.unwrap(), Owner::Gone, "{way}");
        let (app, accepted) = connected(&listener, Domain::IPV4).await;
        app.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(app);
        assert_eq!(owners.of(&accepted).await.unwrap(), Owner::Gone, "{way}");
    }
}

/// Linux lets every user bind a socket to an interface; no way to be looked for in vain.
#[tokio::test]
async fn an_app_bound_to_the_loopback_interface_is_known() {
    for (way, owners) in ways() {
        for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
            let listener = TcpListener::bind(address).await.unwrap();
            let ours = listener.local_addr().unwrap();
            let app = Socket::new(Domain::for_address(ours), Type::STREAM, None).unwrap();
            app.bind_device(Some(b"lo")).unwrap();
            app.connect(&ours.into()).unwrap();
            let accepted = listener.accept().await.unwrap().0;
            assert_eq!(owners.of(&accepted).await.unwrap(), Owner::Ours, "{way}, {ours}");
        }
    }
}

#[tokio::test]
async fn the_user_is_the_one_of_the_table() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (_app, accepted) = connected(&listener, Domain::IPV4).await;
    let folder = tempfile::tempdir().unwrap();
    let us = rustix::process::geteuid().as_raw();
    for (uid, owner) in [(us, Owner::Ours), (us + 4242, Owner::User(us + 4242))] {
        let owners = Owners::claiming(folder.path(), &accepted, uid);
        assert_eq!(owners.of(&accepted).await.unwrap(), owner);
    }
    std::fs::write(folder.path().join("tcp"), "").unwrap();
    let owner = Owners::by_tables(folder.path()).of(&accepted).await;
    assert_eq!(owner.unwrap(), Owner::Nobody, "a kernel without IPv6 has no table of it");
}

#[tokio::test]
async fn where_nothing_can_be_read_nobody_knows() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (_app, accepted) = connected(&listener, Domain::IPV4).await;
    let owners = Owners::by_tables("/nowhere".as_ref());
    assert_eq!(owners.of(&accepted).await.unwrap_err().kind(), io::ErrorKind::NotFound);
}

/// Many apps at once each get their own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_do_not_meet() {
    let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let owners = Owners::default();
    let mut looks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (app, accepted) = connected(&listener, Domain::IPV4).await;
        let gone = number % 2 == 1;
        let app = if gone {
            drop(app);
            None
        } else {
            Some(app)
        };
        let owners = owners.clone();
        looks.spawn(async move {
            let owner = owners.of(&accepted).await.unwrap();
            assert_eq!(owner == Owner::Gone, gone);
            drop(app);
        });
    }
    while let Some(done) = looks.join_next().await {
        done.unwrap();
    }
}

/// user_namespaces(7): where the id of all unmapped users is nobody's own, it says nothing about who it is.
#[test]
fn the_id_of_unmapped_users_is_one_user_where_the_map_has_it() {
    assert!(maps("         0          0 4294967295\n", UNMAPPED), "no user namespace");
    assert!(maps("0 1000 1\n1 100000 65536\n", UNMAPPED), "a range that has it");
    for map in ["", "0 1000 1\n", "0 1000 65534\n", "65535 0 1\n", "65534 0\n", "no numbers here\n"] {
        assert!(!maps(map, UNMAPPED), "{map}");
    }
}
