//! What the log shows.

use super::*;
use crate::bridge::shown::Shown;

#[tokio::test(start_paused = true)]
async fn the_log_has_the_facts_and_neither_secrets_nor_mail() {
    let log = Shown::begin();
    let script = Script::new([Mail::of(b"Subject: canary\r\n\r\ncanary\r\n"), Mail::refused()]);
    let mut talk = talk(&script);
    talk.send("USER canary\r\nPASS hunter2\r\nAUTH PLAIN AGFuYQBodW50ZXIy\r\n").await;
    talk.send("USER ana@gmx.net\r\nPASS hunter3\r\nRETR 1\r\nRETR 2\r\nDELE 1\r\ncanary\r\nQUIT\r\n").await;
    talk.rest().await;
    talk.over().await;
    let shown = log.text();
    for fact in ["session ended", "retrieved=1", "octets=27", "deleted=1", "command=\"RETR\"", "number=2"] {
        assert!(shown.contains(fact), "{fact} in {shown}");
    }
    for canary in ["canary", "hunter", "AGFuYQ", "aHVudGVyMg"] {
        assert!(!shown.contains(canary), "{canary} in {shown}");
    }
}
