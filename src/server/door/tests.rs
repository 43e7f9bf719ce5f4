//! The door with connections of this test's own, whose user a made-up table tells.
#![cfg(target_os = "linux")]

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;

/// No user of ours: the tests run as root, or as somebody with a smaller number.
const OTHER: u32 = 4_000_000_001;

const PLAIN: [Protocol; 3] = [Protocol::Pop3, Protocol::Imap, Protocol::Smtp];

/// An app, and its connection as we accepted it.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (app, listener.accept().await.unwrap().0)
}

/// All that an app hears once nobody has its connection here.
async fn heard(mut app: TcpStream) -> String {
    let mut text = String::new();
    app.read_to_string(&mut text).await.unwrap();
    text
}

fn allowing(uid: u32) -> AllowUsers {
    AllowUsers::These([uid].into())
}

#[tokio::test]
async fn another_users_program_is_refused_in_its_own_protocol_before_it_has_said_anything() {
    let folder = tempfile::tempdir().unwrap();
    for (protocol, line) in PLAIN.into_iter().zip(["-ERR [SYS/PERM] ", "* BYE [NOPERM] ", "554 5.7.1 "]) {
        for allowed in [AllowUsers::default(), allowing(OTHER - 1)] {
            let (app, accepted) = connected().await;
            let door = Door::with(Owners::claiming(folder.path(), &accepted, OTHER), &allowed);
            assert!(door.admit(protocol, &accepted).await.is_none());
            drop(accepted);
            let told = heard(app).await;
            assert!(told.starts_with(line) && told.ends_with("\r\n") && told.lines().count() == 1, "{told}");
            assert!(!told.contains("allow_users") && !told.contains(&OTHER.to_string()), "{told}");
        }
    }
}

/// Whoever expects TLS understands no line.
#[tokio::test]
async fn where_tls_begins_at_once_the_connection_is_closed_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    for protocol in [Protocol::Pop3s, Protocol::Imaps, Protocol::Smtps] {
        let (app, accepted) = connected().await;
        let door = Door::with(Owners::claiming(folder.path(), &accepted, OTHER), &AllowUsers::default());
        assert!(door.admit(protocol, &accepted).await.is_none());
        drop(accepted);
        assert_eq!(heard(app).await, "");
    }
}

#[tokio::test]
async fn allowed_users_and_root_come_in_and_all_of_them_where_all_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    for (uid, allowed) in
        [(OTHER, allowing(OTHER)), (0, AllowUsers::default()), (OTHER, AllowUsers::All), (1, AllowUsers::All)]
    {
        let (_app, accepted) = connected().await;
        let door = Door::with(Owners::claiming(folder.path(), &accepted, uid), &allowed);
        let entry = door.admit(Protocol::Imap, &accepted).await.expect("let in");
        let counted = Some(uid).filter(|uid| *uid == OTHER && allowed != AllowUsers::All);
        assert_eq!(entry.user, counted, "{uid} {allowed:?}");
    }
}

/// What such an app said is still there to be read, but nobody answers for it any more.
#[tokio::test]
async fn an_app_that_spoke_and_closed_before_it_was_looked_at_is_refused() {
    let (app, accepted) = connected().await;
    app.try_write(b"EHLO x\r\n").unwrap();
    drop(app);
    assert!(Door::default().admit(Protocol::Smtp, &accepted).await.is_none());
}

/// Without the kernel's answer the password remains.
#[tokio::test]
async fn where_nobody_can_tell_everybody_comes_in_and_it_is_said_once() {
    let door = Door::with(Owners::by_tables("/nowhere".as_ref()), &AllowUsers::default());
    for _ in 0..3 {
        let (_app, accepted) = connected().await;
        assert!(door.admit(Protocol::Imap, &accepted).await.is_some());
        assert!(door.0.blind.is_completed());
    }
}

#[tokio::test(start_paused = true)]
async fn each_user_is_told_of_at_once_and_then_once_a_minute_with_the_number() {
    let mut refusals = Refusals::default();
    assert_eq!(refusals.count(Why::Stranger(1)), Some(1));
    for _ in 0..10 {
        assert_eq!(refusals.count(Why::Stranger(1)), None);
    }
    assert_eq!(refusals.count(Why::Stranger(2)), Some(1), "the first of another user");
    tokio::time::advance(REFUSALS_TOLD).await;
    assert_eq!(refusals.count(Why::Stranger(1)), Some(11));
    assert_eq!(refusals.count(Why::Stranger(1)), None);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_tries_many_users_fills_neither_memory_nor_log() {
    let mut refusals = Refusals::default();
    let told = (0..10_000).filter(|uid| refusals.count(Why::Stranger(*uid)).is_some()).count();
    assert!(told == TOLD_OF && refusals.0.len() == TOLD_OF);
    tokio::time::advance(REFUSALS_TOLD + Duration::from_secs(1)).await;
    assert_eq!(refusals.count(Why::Stranger(10_001)), Some(1));
}
