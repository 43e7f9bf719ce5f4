//! Asks for passwords: without echo on a terminal, else line by line from standard input. Never from arguments,
//! which every program on this machine can read.

use std::io::{self, BufRead, IsTerminal};

use zeroize::Zeroizing;

use crate::mail::Secret;

/// The longest line taken; tokens of providers have some 2,500 octets.
const LONGEST: u64 = 4096;

/// The password of `address` at its provider; `None` where nobody has one to give.
pub(super) fn password(address: &str) -> io::Result<Option<Secret>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line(&mut stdin.lock());
    }
    let prompt = format!("The provider's password of {address} (nothing: check without logging in): ");
    let password = Zeroizing::new(rpassword::prompt_password(prompt)?);
    Ok((!password.is_empty()).then(|| Secret::new(password.as_bytes())))
}

fn line(input: &mut impl BufRead) -> io::Result<Option<Secret>> {
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    io::Read::take(input, LONGEST).read_until(b'\n', &mut line)?;
    let end = line.strip_suffix(b"\n").unwrap_or(&line);
    let end = end.strip_suffix(b"\r").unwrap_or(end);
    Ok((!end.is_empty()).then(|| Secret::new(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_an_account_and_then_no_more() {
        let mut input = b" first \r\n\nthird".as_slice();
        let mut next = || line(&mut input).expect("memory").map(|secret| secret.expose().to_vec());
        assert_eq!(next().as_deref(), Some(b" first ".as_slice()));
        assert_eq!(next(), None);
        assert_eq!(next().as_deref(), Some(b"third".as_slice()));
        assert_eq!(next(), None);
    }
}
