//! What the log shows.

use std::io;

use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_has_the_facts_and_neither_secrets_nor_mail() {
    // With one subscriber alone, tracing asks whichever test's thread comes to an event first whether anybody wants
    // it, and remembers its no.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let script = Script::new([Mail::of(b"Subject: canary\r\n\r\ncanary\r\n"), Mail::refused()]);
    let mut talk = talk(&script);
    talk.send("USER canary\r\nPASS hunter2\r\nAUTH PLAIN AGFuYQBodW50ZXIy\r\n").await;
    talk.send("USER ana@gmx.net\r\nPASS hunter3\r\nRETR 1\r\nRETR 2\r\nDELE 1\r\ncanary\r\nQUIT\r\n").await;
    talk.rest().await;
    talk.over().await;
    let shown = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    for fact in ["session ended", "retrieved=1", "octets=27", "deleted=1", "command=\"RETR\"", "number=2"] {
        assert!(shown.contains(fact), "{fact} in {shown}");
    }
    for canary in ["canary", "hunter", "AGFuYQ", "aHVudGVyMg"] {
        assert!(!shown.contains(canary), "{canary} in {shown}");
    }
}
