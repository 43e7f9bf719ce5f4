//! One endpoint looked for in the text of `/proc/net/tcp` or `/proc/net/tcp6` (proc(5)).
//!
//! ```text
//!   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//!    7: 0100007F:9C40 0100007F:0477 01 00000000:00000000 00:00000000 00000000  1001        0 55319 1 ...
//! ```
//!
//! An address is written in words of 32 bits, each as the machine would read it: on most the octets of a word stand the
//! other way round. Ports are plain.

use std::fmt::Write;
use std::io::{self, BufRead, Read};
use std::net::{IpAddr, SocketAddr};

use super::ends::{Endpoint, Ends};

/// The kernel's rows have less than 200 octets; what is longer is read in pieces, none of which is a row.
const LINE: u64 = 512;

/// Reads line by line, so that a table of any length takes the memory of one.
pub(super) fn find(mut table: impl BufRead, ends: Ends) -> io::Result<Endpoint> {
    let wanted = [Form::Plain, Form::Mapped].map(|form| [ends.app, ends.ours].map(|end| written(end, form)));
    let mut found = Endpoint::Absent;
    let mut line = Vec::new();
    loop {
        line.clear();
        if table.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        match row(&line, &wanted) {
            Some(open @ Endpoint::Open { .. }) => return Ok(open),
            // One that has just gone may stand before one that has just come.
            Some(other) => found = other,
            None => {}
        }
    }
}

/// How IPv4 is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// As IPv6 (RFC 4291 §2.5.5.2).
    Mapped,
}

fn written(end: SocketAddr, form: Form) -> String {
    let octets = match end.ip() {
        IpAddr::V4(ip) if form == Form::Plain => ip.octets().to_vec(),
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut text = String::new();
    for word in octets.as_chunks().0 {
        // To write to a String cannot fail.
        let _ = write!(text, "{:08X}", u32::from_ne_bytes(*word));
    }
    let _ = write!(text, ":{:04X}", end.port());
    text
}

/// `None` where it is another endpoint's row, or no row.
fn row(line: &[u8], wanted: &[[String; 2]; 2]) -> Option<Endpoint> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (local, remote) = (words.nth(1)?, words.next()?);
    wanted.iter().find(|[app, ours]| local == app.as_bytes() && remote == ours.as_bytes())?;
    let state = u8::from_str_radix(text(words.next()?)?, 16).ok()?;
    let uid = text(words.nth(3)?)?.parse().ok()?;
    let inode = text(words.nth(1)?)?.parse().ok()?;
    Some(Endpoint::new(state, uid, inode))
}

fn text(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

/// The row of an app's end that a program of this user has open.
#[cfg(test)]
pub(super) fn row_of(ends: Ends, uid: u32) -> String {
    let [app, ours] = [ends.app, ends.ours].map(|end| written(end, Form::Plain));
    format!("   0: {app} {ours} 01 00000000:00000000 00:00000000 00000000 {uid} 0 7 1 0 20 4 30 10 -1\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn ends(app: &str, ours: &str) -> Ends {
        Ends { app: app.parse().unwrap(), ours: ours.parse().unwrap() }
    }

    fn looked_up(table: &str, app: &str, ours: &str) -> Endpoint {
        find(format!("{HEAD}{table}").as_bytes(), ends(app, ours)).unwrap()
    }

    fn line(local: &str, remote: &str, state: &str, uid: u32, inode: u64) -> String {
        format!(
            "   7: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 00000000c0c0 20 4 30 10 -1\n"
        )
    }

    fn both(end: Ends, form: Form) -> [String; 2] {
        [end.app, end.ours].map(|end| written(end, form))
    }

    /// As a kernel of such a machine wrote it.
    #[cfg(target_endian = "little")]
    #[test]
    fn the_octets_of_a_word_stand_the_other_way_round() {
        let v4 = line("0100007F:9C40", "0200007F:0477", "01", 1001, 55319);
        assert_eq!(looked_up(&v4, "127.0.0.1:40000", "127.0.0.2:1143"), Endpoint::Open { uid: 1001 });
        assert_eq!(looked_up(&v4, "127.0.0.2:40000", "127.0.0.1:1143"), Endpoint::Absent);
        assert_eq!(looked_up(&v4, "1.0.0.127:40000", "2.0.0.127:1143"), Endpoint::Absent);
        let loopback = "00000000000000000000000001000000";
        let v6 = line(&format!("{loopback}:9C40"), &format!("{loopback}:0477"), "01", 1002, 55320);
        assert_eq!(looked_up(&v6, "[::1]:40000", "[::1]:1143"), Endpoint::Open { uid: 1002 });
        let (near, far) = ("B80D01200000000067452301EFCDAB89", "B80D0120000000000000000001000000");
        let v6 = line(&format!("{near}:9C40"), &format!("{far}:0477"), "01", 1003, 55321);
        let told = looked_up(&v6, "[2001:db8::123:4567:89ab:cdef]:40000", "[2001:db8::1]:1143");
        assert_eq!(told, Endpoint::Open { uid: 1003 });
        let (near, far) = ("0000000000000000FFFF00000100007F", "0000000000000000FFFF00000200007F");
        let mapped = line(&format!("{near}:9C40"), &format!("{far}:0477"), "01", 1004, 55322);
        assert_eq!(looked_up(&mapped, "127.0.0.1:40000", "127.0.0.2:1143"), Endpoint::Open { uid: 1004 });
    }

    /// The bridge's own end has the same addresses and ports, the other way round.
    #[test]
    fn our_own_end_is_not_the_apps() {
        let ends = ends("127.0.0.1:40000", "127.0.0.1:1143");
        let [app, ours] = both(ends, Form::Plain);
        let table = line(&ours, &app, "01", 0, 1) + &line(&app, &ours, "01", 1001, 2);
        assert_eq!(find(table.as_bytes(), ends).unwrap(), Endpoint::Open { uid: 1001 });
        assert_eq!(find(line(&ours, &app, "01", 0, 1).as_bytes(), ends).unwrap(), Endpoint::Absent);
    }

    #[test]
    fn a_half_closed_end_has_its_user_and_one_that_nobody_has_open_has_none() {
        let ends = ends("[::1]:40000", "[::1]:1143");
        let [app, ours] = both(ends, Form::Plain);
        for state in ["01", "04", "05", "08", "09", "0B"] {
            let open = line(&app, &ours, state, 1001, 2);
            assert_eq!(find(open.as_bytes(), ends).unwrap(), Endpoint::Open { uid: 1001 }, "{state}");
            let orphan = line(&app, &ours, state, 0, 0);
            assert_eq!(find(orphan.as_bytes(), ends).unwrap(), Endpoint::Closed, "{state}");
        }
        // SYN_SENT, SYN_RECV, TIME_WAIT, CLOSE, LISTEN: no other end of a connection that stands.
        for state in ["02", "03", "06", "07", "0A", "0C", "FF"] {
            let other = line(&app, &ours, state, 1001, 2);
            assert_eq!(find(other.as_bytes(), ends).unwrap(), Endpoint::Closed, "{state}");
        }
    }

    #[test]
    fn an_open_end_behind_a_closed_one_is_found() {
        let ends = ends("127.0.0.1:40000", "127.0.0.1:1143");
        let [app, ours] = both(ends, Form::Plain);
        let table = line(&app, &ours, "06", 0, 0) + &line(&app, &ours, "01", 1001, 3);
        assert_eq!(find(table.as_bytes(), ends).unwrap(), Endpoint::Open { uid: 1001 });
    }

    #[test]
    fn lines_that_are_no_rows_are_passed_over() {
        let ends = ends("127.0.0.1:40000", "127.0.0.1:1143");
        let [app, ours] = both(ends, Form::Plain);
        let good = line(&app, &ours, "01", 1001, 3);
        let long = "7: ".to_owned() + &"x ".repeat(100_000) + "\n";
        let garbage = [
            "\n",
            "   7:\n",
            &format!("   7: {app} {ours}\n"),
            &format!("   7: {app} {ours} 01 0 0 0\n"),
            &good.replace(" 01 ", " zz "),
            &good.replace(" 1001 ", " -1 "),
            &good.replace(" 1001 ", " 99999999999 "),
            &good.replace(" 3 ", " three "),
            &good.to_lowercase().replace("7f", "7e"),
            &long,
        ];
        for wrong in garbage {
            assert_eq!(find(wrong.as_bytes(), ends).unwrap(), Endpoint::Absent, "{wrong:.100}");
        }
        let table = garbage.concat() + &good;
        assert_eq!(find(table.as_bytes(), ends).unwrap(), Endpoint::Open { uid: 1001 });
        let mut not_text = b"\xff\xfe\x00 \xff \xff \xff\n".to_vec();
        not_text.extend(good.trim_end().as_bytes());
        assert_eq!(
            find(&not_text[..], ends).unwrap(),
            Endpoint::Open { uid: 1001 },
            "and the last line may lack its end"
        );
    }

    /// A hundred thousand connections, the one looked for the last of them.
    #[test]
    fn a_long_table_is_read_to_its_end() {
        let wanted = ends("127.0.0.1:40000", "127.0.0.1:1143");
        let mut table = HEAD.to_owned();
        for number in 0..100_000_u32 {
            let octets = number.to_be_bytes();
            let app = SocketAddr::from(([10, octets[1], octets[2], octets[3]], 40000));
            table += &line(&written(app, Form::Plain), &written(wanted.ours, Form::Plain), "01", 1, 1);
        }
        assert_eq!(find(table.as_bytes(), wanted).unwrap(), Endpoint::Absent);
        let [app, ours] = both(wanted, Form::Plain);
        table += &line(&app, &ours, "01", 1001, 3);
        assert_eq!(find(table.as_bytes(), wanted).unwrap(), Endpoint::Open { uid: 1001 });
    }

    proptest! {
        #[test]
        fn a_row_with_other_ends_is_never_taken(
            a in any::<[u8; 4]>(), b in any::<[u8; 4]>(), ports in any::<[u16; 2]>(), wanted_ports in any::<[u16; 2]>(),
        ) {
            let there = Ends { app: (a, ports[0]).into(), ours: (b, ports[1]).into() };
            let wanted = Ends { app: (a, wanted_ports[0]).into(), ours: (b, wanted_ports[1]).into() };
            let [app, ours] = both(there, Form::Mapped);
            let found = find(line(&app, &ours, "01", 1001, 3).as_bytes(), wanted).unwrap();
            prop_assert_eq!(found == Endpoint::Open { uid: 1001 }, there == wanted);
        }

        #[test]
        fn octets_of_any_kind_are_no_row(octets in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(find(&octets[..], ends("127.0.0.1:40000", "127.0.0.1:1143")).unwrap(), Endpoint::Absent);
        }
    }
}
