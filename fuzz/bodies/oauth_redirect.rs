//! What a browser brings back, by the loopback address and pasted: nothing but a redirect with our state, once, is
//! taken, and no words of the other side's are in what a person is told of a refusal.
//!
//! The first line is a request's target or a pasted address, each line behind it one `Host` of the request.

use footbridge::auth::oauth::fault;
use footbridge::auth::oauth::redirect::{self, Foreign, Redirected};
use footbridge::mail::Secret;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Uri};

const STATE: &str = "0ur-State_7";
const AUTHORITY: &str = "127.0.0.1:40000";

pub fn run(input: &[u8]) {
    let mut lines = input.split(|octet| *octet == b'\n');
    let target = lines.next().unwrap_or_default();
    asked(target, lines);
    let text = String::from_utf8_lossy(target);
    if let Some(query) = redirect::pasted(&text) {
        assert!(text.trim().len() <= redirect::LONGEST);
        assert!(text.contains(query) && query.contains("state=") && !query.contains('#'));
        read(query);
    }
}

fn asked<'a>(target: &[u8], hosts: impl Iterator<Item = &'a [u8]>) {
    let Ok(uri) = Uri::try_from(target) else { return };
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    for host in hosts.filter_map(|host| HeaderValue::from_bytes(host).ok()) {
        request.headers_mut().append(HOST, host);
    }
    match redirect::asked(&request, AUTHORITY) {
        Ok(query) => {
            assert!(target.starts_with(b"/"), "{}", target.escape_ascii());
            let hosts = request.headers().get_all(HOST).iter().collect::<Vec<_>>();
            assert!(matches!(hosts[..], [host] if host == AUTHORITY), "{hosts:?}");
            read(&query);
        }
        Err(foreign) => assert_ne!(foreign, Foreign::Method, "it is a GET"),
    }
}

fn read(query: &str) {
    let Some(redirected) = redirect::read(query, &Secret::new(STATE)) else { return };
    assert_eq!(given(query, "state"), [STATE], "{query:?}");
    assert!(redirect::read(query, &Secret::new("0ur-State_8")).is_none());
    assert!(redirect::read(&format!("{query}&state={STATE}"), &Secret::new(STATE)).is_none());
    match redirected {
        Redirected::Code(code) => {
            assert!(!code.expose().is_empty() && given(query, "error").is_empty());
            assert_eq!(given(query, "code"), [code.expose_str().expect("UTF-8")]);
        }
        Redirected::Refused { error, description } => {
            let server = super::oauth_answer::server();
            super::oauth_answer::assert_told(&fault::refused(&server, &error, description.as_deref()));
        }
    }
}

/// Every value of a name, by the book (application/x-www-form-urlencoded of the URL standard).
fn given(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(given, _)| unescaped(given) == name).map(|(_, value)| unescaped(value)).collect()
}

fn unescaped(text: &str) -> String {
    let (mut octets, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind
            .first_chunk::<2>()
            .filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        rest = behind;
        octets.push(match escaped {
            Some(digits) => {
                rest = &behind[2..];
                digits.iter().fold(0, |octet, digit| {
                    octet << 4 | char::from(*digit).to_digit(16).expect("a digit") as u8
                })
            }
            None if *first == b'+' => b' ',
            None => *first,
        });
    }
    String::from_utf8_lossy(&octets).into_owned()
}
