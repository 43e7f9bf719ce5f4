//! What the log shows, for the tests of the drivers.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, level_filters::LevelFilter};

/// Collects everything this thread logs, at every level, until it is dropped.
pub(super) struct Shown {
    log: Log,
    _guard: DefaultGuard,
    /// With one subscriber alone, tracing asks whichever test's thread comes to an event first whether anybody wants
    /// it, and remembers its no.
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Shown {
    /// From now on.
    pub(super) fn begin() -> Self {
        let _second = Dispatch::new(NoSubscriber::new());
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self { log, _guard: tracing::subscriber::set_default(subscriber), _second }
    }

    /// So far.
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.log.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
