use std::fs;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const PATIENCE: Duration = Duration::from_secs(60);

fn client(roots: &CertificateDer<'static>) -> TlsConnector {
    let mut store = RootCertStore::empty();
    store.add(roots.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn authority(tls: &LocalTls) -> CertificateDer<'static> {
    match &tls.current.lock().unwrap().kept {
        Kept::Made { made, .. } => made.authority.clone(),
        Kept::Own { .. } => panic!("not made by us"),
    }
}

/// The certificate an app sees under this name, or why it refuses it.
async fn visit(
    tls: &LocalTls,
    client: TlsConnector,
    name: &'static str,
) -> io::Result<CertificateDer<'static>> {
    let (ours, theirs) = duplex(64 * 1024);
    let serve = async {
        let mut app = tls.accept(ours, PATIENCE).await?;
        app.write_all(b"hello").await?;
        app.shutdown().await
    };
    let app = async {
        let mut tls = client.connect(ServerName::try_from(name).unwrap(), theirs).await?;
        let mut heard = String::new();
        tls.read_to_string(&mut heard).await?;
        assert_eq!(heard, "hello");
        let (_, connection) = tls.get_ref();
        Ok(connection.peer_certificates().unwrap()[0].clone().into_owned())
    };
    let (served, seen) = tokio::join!(serve, app);
    assert_eq!(served.is_ok(), seen.is_ok());
    seen
}

#[tokio::test]
async fn an_app_that_trusts_the_authority_is_served_under_each_name_and_no_other() {
    let state = tempfile::tempdir().unwrap();
    let tls = LocalTls::open(&Source::Made(state.path().join("state"))).unwrap();
    let client = client(&authority(&tls));
    for name in ["localhost", "127.0.0.1", "::1"] {
        visit(&tls, client.clone(), name).await.unwrap();
    }
    for name in ["mail.example.org", "127.0.0.2", "sub.localhost"] {
        assert!(visit(&tls, client.clone(), name).await.is_err());
    }
}

#[tokio::test]
async fn a_later_run_shows_the_same_authority() {
    let state = tempfile::tempdir().unwrap();
    let source = Source::Made(state.path().join("state"));
    let before = LocalTls::open(&source).unwrap();
    let after = LocalTls::open(&source).unwrap();
    assert_eq!(authority(&before), authority(&after));
    visit(&after, client(&authority(&before)), "localhost").await.unwrap();
}

/// Whoever had the authority's key could not use it for another site: RFC 5280 §4.2.1.10.
#[test]
fn the_authority_is_constrained_to_this_computer() {
    let state = tempfile::tempdir().unwrap();
    let tls = LocalTls::open(&Source::Made(state.path().join("state"))).unwrap();
    // permittedSubtrees of nameConstraints (2.5.29.30), critical.
    let critical = [0x06, 0x03, 0x55, 0x1d, 0x1e, 0x01, 0x01, 0xff];
    let authority = authority(&tls);
    assert!(memchr::memmem::find(&authority, &critical).is_some());
    // basicConstraints (2.5.29.19), critical: an authority, path length 0.
    let path = [
        0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x08, 0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01,
        0x00,
    ];
    assert!(memchr::memmem::find(&authority, &path).is_some());
}

#[test]
fn it_renews_itself_under_the_same_authority_and_says_when_that_is_over() {
    let state = tempfile::tempdir().unwrap();
    let tls = LocalTls::open(&Source::Made(state.path().join("state"))).unwrap();
    let (first, root) = (tls.today(SystemTime::now()), authority(&tls));
    assert!(Arc::ptr_eq(&first, &tls.today(SystemTime::now())));
    assert!(!Arc::ptr_eq(&first, &tls.today(SystemTime::now() + 3 * YEAR)));
    assert_eq!(authority(&tls), root);
    tls.today(SystemTime::now() + 11 * YEAR);
    assert_ne!(authority(&tls), root);
}

#[test]
fn a_state_folder_that_cannot_be_looked_at_is_not_taken_for_one_that_is_missing() {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join("file"), "").unwrap();
    let told = LocalTls::look(&Source::Made(outer.path().join("file/state"))).map(|_| ()).unwrap_err();
    assert!(told.to_string().contains("cannot be looked at"), "{told}");
}

/// A computer whose clock stood ahead when the certificate was made, and was set since.
#[test]
fn a_certificate_from_the_future_is_complained_of_until_the_clock_comes_to_it() {
    let state = tempfile::tempdir().unwrap();
    let source = Source::Made(state.path().join("state"));
    assert!(LocalTls::look(&source).unwrap().is_none(), "looking makes nothing");
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    let (now, ahead) = (SystemTime::now(), SystemTime::now() + YEAR);
    Current::made(Folder::open(&state.path().join("state")).unwrap(), ahead).unwrap();
    let tls = LocalTls::open(&source).unwrap();
    let told = tls.description().complaint.unwrap();
    let parts = ["local-tls.pem: ", "is valid from 20", "set the clock", "move the file away"];
    assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    assert_eq!(LocalTls::look(&source).unwrap().unwrap().complaint, Some(told.clone()));
    let told_at = |time| {
        tls.today(time);
        tls.current.lock().unwrap().told.clone()
    };
    assert_eq!(told_at(now), Some(told.clone()));
    assert_eq!(told_at(ahead), None);
    assert_eq!(told_at(now), Some(told), "the clock is set back while the bridge runs");
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("state");
    let source = Source::Made(path.clone());
    Folder::open(&path).unwrap().hold().unwrap().write(NAME, b"something else").unwrap();
    let told = LocalTls::open(&source).unwrap_err().to_string();
    assert!(told.contains("local-tls.pem") && told.contains("move it away"), "{told}");
    assert_eq!(fs::read(path.join(NAME)).unwrap(), b"something else");
}

/// A certificate of one's own with its key.
fn write_own(folder: &Path, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    fs::write(folder.join("own.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("own.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn files(folder: &Path) -> Files {
    Files { certificate: folder.join("own.pem"), key: folder.join("own.key") }
}

#[tokio::test]
async fn an_own_certificate_is_shown_and_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_own(folder.path(), "a.example.org");
    let tls = LocalTls::open(&Source::Own(files(folder.path()))).unwrap();
    assert_eq!(visit(&tls, client(&first), "a.example.org").await.unwrap(), first);

    fs::write(folder.path().join("own.pem"), "half a file").unwrap();
    assert_eq!(visit(&tls, client(&first), "a.example.org").await.unwrap(), first, "the old one is kept");

    let second = write_own(folder.path(), "a-longer-name.example.org");
    assert_eq!(visit(&tls, client(&second), "a-longer-name.example.org").await.unwrap(), second);
    assert_eq!(tls.description().certificate.unwrap().names, ["a-longer-name.example.org"]);
}

#[test]
fn an_own_certificate_that_is_no_use_is_told_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let told = || LocalTls::open(&Source::Own(files.clone())).unwrap_err().to_string();
    assert!(told().contains("own.pem: this file cannot be read"));
    write_own(folder.path(), "localhost");
    fs::write(&files.key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(told().contains("does not belong to the certificate"));
    fs::write(
        &files.key,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    assert!(told().contains("is encrypted"));
    fs::write(&files.key, "").unwrap();
    assert!(told().contains("no private key"));
    fs::write(&files.certificate, "").unwrap();
    assert!(told().contains("no certificate"));
    #[cfg(unix)]
    {
        let device = Files { certificate: "/dev/null".into(), ..files.clone() };
        let told = LocalTls::open(&Source::Own(device)).unwrap_err().to_string();
        assert!(told.contains("no regular file"), "pipes and devices have no end: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_go_on_ends() {
    let folder = tempfile::tempdir().unwrap();
    write_own(folder.path(), "localhost");
    let tls = LocalTls::open(&Source::Own(files(folder.path()))).unwrap();
    let (ours, _theirs) = duplex(1024);
    let error = tls.accept(ours, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// RFC 8446 §6.1 wants close_notify; old apps never heard of it.
#[tokio::test]
async fn an_app_that_hangs_up_without_a_farewell_has_hung_up() {
    let folder = tempfile::tempdir().unwrap();
    let root = write_own(folder.path(), "localhost");
    let tls = LocalTls::open(&Source::Own(files(folder.path()))).unwrap();
    let (ours, theirs) = duplex(64 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let (served, app) = tokio::join!(tls.accept(ours, PATIENCE), client(&root).connect(name, theirs));
    let mut app = app.unwrap();
    app.write_all(b"half a li").await.unwrap();
    app.flush().await.unwrap();
    drop(app);
    let mut heard = Vec::new();
    served.unwrap().read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"half a li");
}
