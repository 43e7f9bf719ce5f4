//! `[listen] allow_users`: from names to user ids.
//!
//! Names are looked up once, at start, in `/etc/passwd`: what a directory service knows beyond it goes by number.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};

use toml::Spanned;

use super::faults::{Faults, did_you_mean, shown};
use super::file::{User, Users};
use crate::net::peer;

/// `[listen] allow_users`: whose programs are served besides those of the bridge's own user and of root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowUsers {
    /// Nobody is asked for, passwords alone keep others out.
    All,
    /// These, by user id.
    These(BTreeSet<u32>),
}

impl Default for AllowUsers {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

/// Where names are looked up.
const PASSWD: &str = "/etc/passwd";

/// More than a hundred thousand users.
const LARGEST: u64 = 16 * 1024 * 1024;

/// No user: what stands for "unchanged" in chown(2).
const NO_USER: u32 = u32::MAX;

/// Who is allowed; where this system cannot tell users apart, everybody, which is warned of.
pub(super) fn check(
    users: &Option<Spanned<Users>>,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> AllowUsers {
    let Some(users) = users else { return AllowUsers::default() };
    match users.get_ref() {
        Users::Word(word) if word == "all" => AllowUsers::All,
        Users::Word(word) => {
            let given = shown(word);
            faults.at(
                users.span(),
                format!("[listen] allow_users = {given} is not known; write a list, [{given}], or \"all\""),
            );
            AllowUsers::default()
        }
        Users::List(_) if !peer::CAN_TELL => {
            warnings.push(
                "[listen] allow_users: this system does not tell whose program connects, so passwords alone keep others out"
                    .to_owned(),
            );
            AllowUsers::All
        }
        Users::List(list) => AllowUsers::These(these(list, faults)),
    }
}

fn these(list: &[Spanned<User>], faults: &mut Faults<'_>) -> BTreeSet<u32> {
    let named = list.iter().any(|user| matches!(user.get_ref(), User::Name(_)));
    let passwd = if named { read() } else { Ok(Vec::new()) };
    let mut ids = BTreeSet::new();
    for user in list {
        let id = match (user.get_ref(), &passwd) {
            (User::Number(number), _) => numbered(*number),
            (User::Name(name), Ok(passwd)) => looked_up(name, passwd),
            (User::Name(name), Err(error)) => Err(format!(
                "[listen] allow_users: {} cannot be looked up ({PASSWD}: {error}); write the user's number (id -u)",
                shown(name)
            )),
        };
        match id {
            Ok(id) => drop(ids.insert(id)),
            Err(fault) => faults.at(user.span(), fault),
        }
    }
    ids
}

fn numbered(number: i64) -> Result<u32, String> {
    let id = u32::try_from(number).ok().filter(|id| *id != NO_USER);
    id.ok_or_else(|| format!("[listen] allow_users: {number} is no user id; id -u NAME tells a user's"))
}

fn looked_up(name: &str, passwd: &[u8]) -> Result<u32, String> {
    let given = shown(name);
    if matches!(name, "all" | "*") {
        return Err(format!(
            "[listen] allow_users: {given} is no user; to let everybody in, write allow_users = \"all\""
        ));
    }
    if name.parse::<u32>().is_ok() {
        return Err(format!("[listen] allow_users: a user id goes without quotes; write {name}"));
    }
    if let Some((_, id)) = users(passwd).find(|(known, _)| *known == name) {
        return numbered(id.into());
    }
    Err(match did_you_mean(name, users(passwd).map(|(known, _)| known)) {
        Some(meant) => format!("[listen] allow_users: there is no user {given}; did you mean \"{meant}\"?"),
        None => format!(
            "[listen] allow_users: {PASSWD} has no user {given}; one that a directory service knows goes by number (id -u)"
        ),
    })
}

/// Names and numbers (passwd(5)); a line that is none is passed over.
fn users(passwd: &[u8]) -> impl Iterator<Item = (&str, u32)> {
    passwd.split(|octet| *octet == b'\n').filter_map(|line| {
        let mut fields = std::str::from_utf8(line).ok()?.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        Some((name, id.parse().ok()?)).filter(|_| !name.is_empty())
    })
}

fn read() -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(PASSWD)?.take(LARGEST).read_to_end(&mut octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# a remark\n\n+@lan\nscanner:x:1001:1001::/:/bin/false\n\
        odd:x:many:1:::\nnobody:x:65534:65534::/:\nnone:x:4294967295:0:::\nj\xfcrgen:x:1003:1003:::\nlast:x:1002:1002";

    #[test]
    fn a_name_has_the_number_of_its_line() {
        for (name, id) in [("root", 0), ("scanner", 1001), ("nobody", 65534), ("last", 1002)] {
            assert_eq!(looked_up(name, PASSWD), Ok(id), "{name}");
        }
    }

    #[test]
    fn what_is_no_user_is_named_with_its_cure() {
        for (name, cure) in [
            ("skanner", "did you mean \"scanner\"?"),
            ("ana", "id -u"),
            ("odd", "no user \"odd\""),
            ("none", "is no user id"),
            ("", "has no user \"\""),
            ("+@lan", "has no user"),
            ("1001", "without quotes; write 1001"),
            ("*", "allow_users = \"all\""),
            ("all", "allow_users = \"all\""),
        ] {
            let told = looked_up(name, PASSWD).unwrap_err();
            assert!(told.starts_with("[listen] allow_users") && told.contains(cure), "{told}");
        }
    }

    #[test]
    fn numbers_are_user_ids() {
        assert_eq!(numbered(0), Ok(0));
        assert_eq!(numbered(4_294_967_294), Ok(4_294_967_294));
        for wrong in [-1, i64::from(u32::MAX), i64::MAX] {
            assert!(numbered(wrong).unwrap_err().contains("is no user id"));
        }
    }

    #[test]
    fn the_systems_own_list_has_root() {
        assert_eq!(looked_up("root", &read().unwrap()), Ok(0));
    }
}
