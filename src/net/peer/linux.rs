//! The kernel asked: by sock_diag(7), and where that does not answer by its tables.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::ends::{Endpoint, Ends};
use super::{Owner, diag, table};

/// More than the kernel gives in one read (a page), so that what it gives is taken as it comes.
const READ: usize = 16 * 1024;

/// What the kernel shows for users without an id in our user namespace, unless somebody changed
/// `/proc/sys/kernel/overflowuid`.
const UNMAPPED: u32 = 65534;

impl Ends {
    /// Whether the app's end is there, and no program has it any more: the app closed it, or ended. To be asked while we
    /// have our end, so that no other connection has these addresses and ports; what cannot be told is not so.
    pub fn is_closed(self) -> bool {
        diag::ask(self).is_ok_and(|found| found == Endpoint::Closed)
    }
}

/// Tells whose connections are; a clone shares what it waits for.
#[derive(Clone, Debug)]
pub struct Owners {
    /// Whether sock_diag(7) is asked; tests leave it out.
    diag: bool,
    /// The folder of the tables.
    tables: PathBuf,
    /// One reading at a time: each takes a processor for as long as it lasts.
    reading: Arc<Mutex<()>>,
}

impl Default for Owners {
    fn default() -> Self {
        Self { diag: true, tables: "/proc/net".into(), reading: Arc::default() }
    }
}

impl Owners {
    /// Whose program is at the other end of a connection that was accepted from this machine.
    ///
    /// Asks again once where the kernel does not have that end: its tables are read while they change.
    ///
    /// # Errors
    /// The kernel neither answers nor lets its tables be read: nobody knows.
    pub async fn of(&self, app: &TcpStream) -> io::Result<Owner> {
        let Some(ends) = Ends::of(app) else { return Ok(Owner::Gone) };
        let mut found = self.look(ends, app).await?;
        if found == Endpoint::Absent {
            found = self.look(ends, app).await?;
        }
        Ok(match found {
            // While the connection stands no other one has its addresses and ports, so what was found is its own.
            Endpoint::Open { uid } if is_connected(app) => owner(uid),
            Endpoint::Absent if is_connected(app) => Owner::Nobody,
            _ => Owner::Gone,
        })
    }

    async fn look(&self, ends: Ends, app: &TcpStream) -> io::Result<Endpoint> {
        if self.diag {
            match diag::ask(ends) {
                Ok(Endpoint::Absent) if !is_connected(app) => return Ok(Endpoint::Absent),
                // It answers the same where the part of the kernel that knows TCP is not there.
                Ok(Endpoint::Absent) | Err(_) => {}
                Ok(found) => return Ok(found),
            }
        }
        let _alone = self.reading.lock().await;
        let tables = self.tables.clone();
        let read = tokio::task::spawn_blocking(move || read_tables(&tables, ends));
        read.await.unwrap_or_else(|ended| Err(io::Error::other(ended)))
    }
}

/// The user who has an app's end open by the octets of a table, `None` where nobody has: fuzz/ has it from here.
///
/// # Errors
/// The table cannot be read.
#[doc(hidden)]
pub fn in_table(table: impl BufRead, app: SocketAddr, ours: SocketAddr) -> io::Result<Option<u32>> {
    table::find(table, Ends { app, ours }).map(Endpoint::user)
}

/// The same by the octets of an answer of sock_diag(7).
///
/// # Errors
/// They are an error, or no answer.
#[doc(hidden)]
pub fn in_answer(answer: &[u8], app: SocketAddr, ours: SocketAddr) -> io::Result<Option<u32>> {
    diag::answer(answer, Ends { app, ours }).map(Endpoint::user)
}

/// A connection that was reset has no other end any more.
fn is_connected(app: &TcpStream) -> bool {
    app.peer_addr().is_ok()
}

fn owner(uid: u32) -> Owner {
    static MAPS_UNMAPPED: LazyLock<bool> = LazyLock::new(|| {
        // A kernel without user namespaces has no such file.
        std::fs::read_to_string("/proc/self/uid_map").map_or(true, |map| maps(&map, UNMAPPED))
    });
    match uid {
        UNMAPPED if !*MAPS_UNMAPPED => Owner::User(uid),
        _ if uid == rustix::process::geteuid().as_raw() => Owner::Ours,
        0 => Owner::Root,
        _ => Owner::User(uid),
    }
}

/// Whether one user of a user namespace has this id: each line of its map has the first id inside, the first outside, and
/// how many there are (user_namespaces(7)).
fn maps(map: &str, uid: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) => {
                u64::from(uid).checked_sub(first).is_some_and(|at| at < count)
            }
            _ => false,
        }
    })
}

/// An app with an IPv6 socket may speak IPv4, and its end is in IPv6's table then.
fn read_tables(folder: &Path, ends: Ends) -> io::Result<Endpoint> {
    let open = |name: &str| File::open(folder.join(name)).map(|file| BufReader::with_capacity(READ, file));
    if ends.app.is_ipv4() {
        let found = table::find(open("tcp")?, ends)?;
        if found != Endpoint::Absent {
            return Ok(found);
        }
    }
    match open("tcp6") {
        Ok(table) => table::find(table, ends),
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound && ends.app.is_ipv4() => Ok(Endpoint::Absent),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
impl Owners {
    /// Told by the tables of a folder alone.
    pub(crate) fn by_tables(folder: &Path) -> Self {
        Self { diag: false, tables: folder.to_owned(), reading: Arc::default() }
    }

    /// Told that this app, over IPv4, is a user's: a table with its row is written into the folder.
    pub(crate) fn claiming(folder: &Path, app: &TcpStream, uid: u32) -> Self {
        let row = table::row_of(Ends::of(app).expect("it is connected"), uid);
        std::fs::write(folder.join("tcp"), row).expect("a folder of the test's own");
        Self::by_tables(folder)
    }

    /// Told by sock_diag(7) alone: there are no tables.
    fn by_diag() -> Self {
        Self { diag: true, tables: "/nowhere".into(), reading: Arc::default() }
    }
}

#[cfg(test)]
mod tests;
