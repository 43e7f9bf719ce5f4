//! What survived of the configuration: host names are host names, certificates are loaded.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use toml::Spanned;
use tracing::level_filters::LevelFilter;

use super::account;
use super::faults::{Faults, shown};
use super::file::{self, File};
use super::oauth2;
use super::permissions::others_may_read;
use super::users;
pub use super::users::AllowUsers;
use super::values::{choice, loopback, octets};
use super::vault;
use crate::mail::{Account, AppTls, Deadlines, KeyChoice};
use crate::net::local_tls::{Files, LocalTls, Source};
use crate::net::tls::{self, Roots};

/// Enough for a day's mail of a few accounts, little on any machine that runs a mail program.
const CACHE_MEMORY: u64 = 64 * 1024 * 1024;

/// Room for the mail that most people keep, and little on any disk of today.
const CACHE_DISK: u64 = 2 * 1024 * 1024 * 1024;

/// A configuration that a running bridge finds no fault in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the apps connect.
    pub listen: Listen,
    /// Trust upstream, from `[tls]`.
    pub tls: Arc<ClientConfig>,
    /// How apps on the plain ports stand to TLS: `[tls] local`.
    pub local_tls: AppTls,
    /// The certificate of one's own that apps are shown; without it footbridge makes one.
    pub certificate: Option<Files>,
    /// The state folder; not in the file, the command line names it.
    pub state: Option<PathBuf>,
    /// Octets of bodies kept in memory; 0 keeps none.
    pub cache_memory: u64,
    /// Octets of bodies kept in the state folder; 0 keeps none.
    pub cache_disk: u64,
    /// `[vault] key`
    pub vault_key: KeyChoice,
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
    /// POP3, TLS from the first octet.
    pub pop3s: Vec<SocketAddr>,
    /// IMAP, TLS from the first octet.
    pub imaps: Vec<SocketAddr>,
    /// Submission, TLS from the first octet.
    pub smtps: Vec<SocketAddr>,
    /// Whose programs may connect.
    pub allow_users: AllowUsers,
}

impl Settings {
    /// Whether apps are shown a certificate at all.
    pub fn shows_certificate(&self) -> bool {
        let Listen { pop3s, imaps, smtps, .. } = &self.listen;
        self.local_tls != AppTls::Off || [pop3s, imaps, smtps].into_iter().any(|listen| !listen.is_empty())
    }

    /// Where that certificate comes from; `None` where it is neither the user's own nor is there a state folder.
    pub fn certificate_source(&self) -> Option<Source> {
        let own = self.certificate.clone().map(Source::Own);
        own.or_else(|| self.state.clone().map(Source::Made))
    }
}

/// Everything that is wrong with the values goes to `faults`; what comes back counts only if nothing did.
pub(super) fn check(file: &File, path: &Path, faults: &mut Faults<'_>) -> Option<Settings> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut warnings = Vec::new();
    let allow_users = users::check(&file.listen.allow_users, faults, &mut warnings);
    let listen = Listen { allow_users, ..listen(&file.listen, faults) };
    let tls = trust(&file.tls, folder, faults, &mut warnings);
    let words = [("off", AppTls::Off), ("offer", AppTls::Offered), ("require", AppTls::Required)];
    let local_tls = choice(&file.tls.local, "[tls] local", &words, faults).unwrap_or_default();
    let certificate = certificate(&file.tls, folder, faults);
    let cache_memory = cache(&file.cache.memory, "memory", "64 MiB", CACHE_MEMORY, faults);
    let cache_disk = cache(&file.cache.disk, "disk", "2 GiB", CACHE_DISK, faults);
    let log_level = level(&file.log.level, faults);
    let vault_key = vault::check(&file.vault, folder, faults);
    let known = oauth2::check_all(&file.oauth2, path, faults, &mut warnings);
    let accounts = account::check_all(&file.account, &known, path, faults, &mut warnings);
    let deadlines = Deadlines::default();
    Some(Settings {
        listen,
        tls: tls?,
        local_tls,
        certificate,
        state: None,
        cache_memory,
        cache_disk,
        vault_key,
        log_level,
        accounts,
        warnings,
        deadlines,
    })
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
    choice(text, "[log] level", LEVELS, faults).unwrap_or(LevelFilter::INFO)
}

fn listen(file: &file::Listen, faults: &mut Faults<'_>) -> Listen {
    let mut service = |texts: &Option<Vec<Spanned<String>>>, key: &str, port: u16| match texts {
        Some(texts) => loopback(texts, key, faults),
        None => vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()],
    };
    let (pop3, imap) = (service(&file.pop3, "pop3", 1110), service(&file.imap, "imap", 1143));
    let smtp = service(&file.smtp, "smtp", 1025);
    let mut with_tls = |texts: &[Spanned<String>], key: &str| loopback(texts, key, faults);
    let (pop3s, imaps) = (with_tls(&file.pop3s, "pop3s"), with_tls(&file.imaps, "imaps"));
    let smtps = with_tls(&file.smtps, "smtps");
    let listen = Listen { pop3, imap, smtp, pop3s, imaps, smtps, ..Listen::default() };
    let Listen { pop3, imap, smtp, pop3s, imaps, smtps, .. } = &listen;
    let mut all = [pop3, imap, smtp, pop3s, imaps, smtps].into_iter().flatten().collect::<Vec<_>>();
    all.sort();
    let twice = |pair: &[&SocketAddr]| matches!(pair, [a, b] if a == b && a.port() != 0);
    if let Some([address, _]) = all.windows(2).find(|pair| twice(pair)) {
        faults.whole(format!("[listen] has {address} twice; give each service a port of its own"));
    }
    let given = [&file.pop3, &file.imap, &file.smtp];
    let with_tls = [&file.pop3s, &file.imaps, &file.smtps];
    if given.iter().all(|texts| texts.as_ref().is_some_and(Vec::is_empty))
        && with_tls.iter().all(|texts| texts.is_empty())
    {
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
    let roots = choice(&file.roots, "[tls] roots", &words, faults).unwrap_or_default();
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

/// Both files are read here, so that a running bridge starts with a good pair.
fn certificate(file: &file::Tls, folder: &Path, faults: &mut Faults<'_>) -> Option<Files> {
    let (certificate, key) = match (&file.certificate, &file.key) {
        (None, None) => return None,
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(alone), None) => {
            faults.at(alone.span(), "[tls] certificate needs its key; name its file: key = \"FILE\"");
            return None;
        }
        (None, Some(alone)) => {
            faults.at(alone.span(), "[tls] key needs its certificate; name its file: certificate = \"FILE\"");
            return None;
        }
    };
    let files = Files { certificate: folder.join(certificate.get_ref()), key: folder.join(key.get_ref()) };
    if std::fs::metadata(&files.key).is_ok_and(|metadata| others_may_read(&metadata)) {
        let path = files.key.display();
        faults.at(key.span(), format!("[tls] key: others may read {path}; run: chmod 600 {path}"));
    }
    if let Err(fault) = LocalTls::open(&Source::Own(files.clone())) {
        faults.at(certificate.span(), format!("[tls] certificate and key: {fault}"));
    }
    Some(files)
}

fn cache(
    text: &Option<Spanned<String>>,
    key: &str,
    example: &str,
    usual: u64,
    faults: &mut Faults<'_>,
) -> u64 {
    let Some(text) = text else { return usual };
    octets(text.get_ref()).unwrap_or_else(|| {
        let given = shown(text.get_ref());
        faults.at(
            text.span(),
            format!("[cache] {key} = {given} is not a size; write a number and its unit, \"{example}\", or \"0\" for none"),
        );
        usual
    })
}
