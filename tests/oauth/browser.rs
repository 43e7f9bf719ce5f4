//! A sign-in as a person does it, with a real browser.

use std::process::Stdio;

use super::support::PATIENCE;
use super::support::bridge::{Home, Program};
use super::support::process::{Log, Served, folder, program};
use super::support::vault;
use super::{Account, world};

/// Nothing that a browser does for itself leaves this machine; no screen is needed, and it runs as root, too.
const CHROMIUM: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    // Where the pages have led within this time of its own, which stands still while it waits for the network.
    "--virtual-time-budget=10000",
    "--dump-dom",
    "--proxy-server=direct://",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_goes_from_the_printed_address_to_the_page_that_may_be_closed() {
    let user = "browser@example.test";
    let home = Home::new(&world().config(user));
    let account = Account { address: user.into(), password: home.bridge_password(user), home: home.clone() };
    let bridge = Program::start_in(&home, "debug");
    let before = account.try_pop3(bridge.pop3()).await.1;
    assert!(before.contains(&format!("run: footbridge account sign-in {user}")), "{before}");

    let mut signing = home
        .command()
        .args(["account", "sign-in", user])
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("footbridge starts");
    let log = Log::default();
    let lines = log.follow(signing.stdout.take().expect("piped"));
    drop(log.follow(signing.stderr.take().expect("piped")));
    let printed = std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok());
    let url = printed.map(|line| line.trim().to_owned()).find(|line| line.starts_with("http://"));
    let url = url.unwrap_or_else(|| panic!("no address:\n{}", log.text()));

    let profile = folder("footbridge-browser-");
    let of_its_own = format!("--user-data-dir={}", profile.path().display());
    let chromium = program("chromium");
    let command: Vec<&str> =
        [chromium.as_str(), &of_its_own].into_iter().chain(CHROMIUM).chain([url.as_str()]).collect();
    let browser = Served::start(&command, profile, "You can close this window");
    let browser = browser.unwrap_or_else(|said| panic!("{said}\n{}", log.text()));
    assert!(browser.log().contains("is signed in"), "{}", browser.log());

    while lines.recv_timeout(PATIENCE).is_ok() {}
    let status = signing.wait().expect("our own child");
    assert!(status.success(), "{}", log.text());
    assert!(vault::kept(&home.state(), user)["refresh_token"].is_string());
    let answers = account.answers(&bridge).await;
    for (answer, good) in answers.iter().zip(["+OK", "a OK ", "235 "]) {
        assert!(answer.contains(good), "{answer}");
    }
}
