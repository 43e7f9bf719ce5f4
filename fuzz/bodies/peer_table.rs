//! The text of `/proc/net/tcp` (proc(5)): the user who is told is the one whom a slow reader of the columns finds, however
//! the text arrives, and never one of another endpoint's row.
//!
//! `APP4` and `OURS4`, `APP6` and `OURS6`, and with `M` IPv4 as IPv6, stand for the ends as this machine's kernel writes
//! them.

#[cfg(target_os = "linux")]
pub fn run(input: &[u8]) {
    let four = ["127.0.0.1:40000", "127.0.0.1:1143"].map(|end| end.parse().expect("an address"));
    let six = ["[::1]:40000", "[::1]:1143"].map(|end| end.parse().expect("an address"));
    let mut table = String::from_utf8_lossy(input).into_owned();
    for (name, ends, mapped) in [("4", four, false), ("M", four, true), ("6", six, false)] {
        for (side, end) in [("APP", ends[0]), ("OURS", ends[1])] {
            table = table.replace(&format!("{side}{name}"), &linux::written(end, mapped));
        }
    }
    for [app, ours] in [four, six] {
        linux::assert_found(&table, app, ours);
        linux::assert_found(&table, ours, app);
    }
}

#[cfg(not(target_os = "linux"))]
pub fn run(_: &[u8]) {}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::BufReader;
    use std::net::{IpAddr, SocketAddr};

    use footbridge::net::peer::in_table;

    pub(super) fn assert_found(table: &str, app: SocketAddr, ours: SocketAddr) {
        let found = in_table(table.as_bytes(), app, ours).expect("memory is read");
        assert_eq!(found, reference(table, app, ours), "{table:?}");
        for octets in [1, 7] {
            let slow = BufReader::with_capacity(octets, table.as_bytes());
            assert_eq!(in_table(slow, app, ours).expect("memory is read"), found);
        }
    }

    /// Column by column; a line longer than any of the kernel's is taken in pieces.
    fn reference(table: &str, app: SocketAddr, ours: SocketAddr) -> Option<u32> {
        let lines = table.as_bytes().split(|octet| *octet == b'\n').map(<[u8]>::to_vec);
        let pieces = lines
            .flat_map(|line| [&line[..], b"\n"].concat().chunks(512).map(<[u8]>::to_vec).collect::<Vec<_>>());
        pieces.into_iter().find_map(|piece| {
            let piece = String::from_utf8_lossy(&piece).into_owned();
            let columns = piece
                .split([' ', '\t', '\n', '\r', '\x0c'])
                .filter(|column| !column.is_empty())
                .collect::<Vec<_>>();
            let its = [false, true].iter().any(|mapped| {
                columns.get(1) == Some(&&*written(app, *mapped))
                    && columns.get(2) == Some(&&*written(ours, *mapped))
            });
            let state = u8::from_str_radix(columns.get(3)?, 16).ok()?;
            let (uid, inode) = (columns.get(7)?.parse().ok()?, columns.get(9)?.parse::<u64>().ok()?);
            (its && inode != 0 && matches!(state, 1 | 4 | 5 | 8 | 9 | 0xB)).then_some(uid)
        })
    }

    /// Words of 32 bits as this machine reads them, then the port.
    pub(super) fn written(end: SocketAddr, mapped: bool) -> String {
        let octets = match end.ip() {
            IpAddr::V4(ip) if mapped => ip.to_ipv6_mapped().octets().to_vec(),
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let words = octets.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().expect("four octets")));
        words.map(|word| format!("{word:08X}")).collect::<String>() + &format!(":{:04X}", end.port())
    }
}
