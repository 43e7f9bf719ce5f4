//! What survived of the configuration: host names are host names, certificates are loaded.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use toml::Spanned;
use tracing::level_filters::LevelFilter;

use super::account;
use super::faults::{Faults, shown};
use super::file::{self, File};
use super::values::{choice, loopback, octets};
use crate::mail::{Account, Deadlines};
use crate::net::tls::{self, Roots};

/// Enough for a day's mail of a few accounts, little on any machine that runs a mail program.
const CACHE_MEMORY: u64 = 64 * 1024 * 1024;

/// A configuration that a running bridge finds no fault in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the apps connect.
    pub listen: Listen,
    /// Trust upstream, from `[tls]`.
    pub tls: Arc<ClientConfig>,
    /// Octets of bodies kept in memory; 0 keeps none.
    pub cache_memory: u64,
    /// `[log] level`.
    pub log_level: LevelFilter,
    /// Every `[[account]]`.
    pub accounts: Vec<Arc<Account>>,
    /// What will work and may surprise, a sentence each.
    pub warnings: Vec<String>,
    /// Waiting times; not in the file, tests shrink them.
    pub deadlines: Deadlines,
}

/// `[listen]`: loopback addresses; port 0 lets the system choose, and the log tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// POP3.
    pub pop3: Vec<SocketAddr>,
    /// IMAP.
    pub imap: Vec<SocketAddr>,
    /// Submission.
    pub smtp: Vec<SocketAddr>,
}

/// Everything that is wrong with the values goes to `faults`; what comes back counts only if nothing did.
pub(super) fn check(file: &File, path: &Path, faults: &mut Faults<'_>) -> Option<Settings> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let listen = listen(&file.listen, faults);
    let mut warnings = Vec::new();
    let tls = trust(&file.tls, folder, faults, &mut warnings);
    let cache_memory = memory(&file.cache.memory, faults);
    let log_level = level(&file.log.level, faults);
    let accounts = account::check_all(&file.account, path, faults, &mut warnings);
    let deadlines = Deadlines::default();
    Some(Settings { listen, tls: tls?, cache_memory, log_level, accounts, warnings, deadlines })
}

/// The words of `[log] level` and `--log`.
pub const LEVELS: &[(&str, LevelFilter)] = &[
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

fn level(text: &Option<Spanned<String>>, faults: &mut Faults<'_>) -> LevelFilter {
    choice(text, "[log] level", LEVELS, &[], faults).unwrap_or(LevelFilter::INFO)
}

fn listen(file: &file::Listen, faults: &mut Faults<'_>) -> Listen {
    let mut service = |texts: &Option<Vec<Spanned<String>>>, key: &str, port: u16| match texts {
        Some(texts) => loopback(texts, key, faults),
        None => vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()],
    };
    let listen = Listen {
        pop3: service(&file.pop3, "pop3", 1110),
        imap: service(&file.imap, "imap", 1143),
        smtp: service(&file.smtp, "smtp", 1025),
    };
    let mut all = listen.pop3.iter().chain(&listen.imap).chain(&listen.smtp).collect::<Vec<_>>();
    all.sort();
    let twice = |pair: &[&SocketAddr]| matches!(pair, [a, b] if a == b && a.port() != 0);
    if let Some([address, _]) = all.windows(2).find(|pair| twice(pair)) {
        faults.whole(format!("[listen] has {address} twice; give each service a port of its own"));
    }
    let given = [&file.pop3, &file.imap, &file.smtp];
    if given.iter().all(|texts| texts.as_ref().is_some_and(Vec::is_empty)) {
        faults.whole("[listen] names no address at all; leave a key out for its default");
    }
    listen
}

fn trust(
    file: &file::Tls,
    folder: &Path,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Option<Arc<ClientConfig>> {
    let words = [("both", Roots::Both), ("system", Roots::System), ("bundled", Roots::Bundled)];
    let roots = choice(&file.roots, "[tls] roots", &words, &[], faults).unwrap_or_default();
    let mut extra = Vec::new();
    for text in &file.extra_roots {
        match tls::read_certificates(&folder.join(text.get_ref())) {
            Ok(certificates) => extra.extend(certificates),
            Err(fault) => faults.at(text.span(), format!("[tls] extra_roots: {fault}")),
        }
    }
    let trust = tls::trust(roots, &extra).map_err(|fault| faults.whole(fault)).ok()?;
    warnings.extend(trust.warning);
    Some(trust.config)
}

fn memory(text: &Option<Spanned<String>>, faults: &mut Faults<'_>) -> u64 {
    let Some(text) = text else { return CACHE_MEMORY };
    octets(text.get_ref()).unwrap_or_else(|| {
        let given = shown(text.get_ref());
        faults.at(
            text.span(),
            format!("[cache] memory = {given} is not a size; write a number and its unit, \"64 MiB\", or \"0\" for none"),
        );
        CACHE_MEMORY
    })
}
