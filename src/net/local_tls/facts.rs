//! What a person or a clock asks of a certificate: names, validity, fingerprint (RFC 5280 §4.1, §4.2.1.6).

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// A second of UTC, as `YYYYMMDDHHMMSS`, so that the later one is the greater one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(String);

/// Of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Valid from here.
    pub not_before: Moment,
    /// Valid up to here.
    pub not_after: Moment,
    /// Host names and addresses it is for; none for an authority.
    pub names: Vec<String>,
    /// SHA-256 in pairs of digits, as mail apps and system tools show it.
    pub fingerprint: String,
}

impl Moment {
    /// A time of the system's clock.
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let date = rcgen::date_time_ymd(1970, 1, 1) + since;
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second) = (date.hour(), date.minute(), date.second());
        Self(format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}"))
    }

    /// ```abnf
    /// UTCTime         = 12DIGIT "Z"     ; two digits of the year: 50 and above are 19xx (RFC 5280 §4.1.2.5.1)
    /// GeneralizedTime = 14DIGIT "Z"
    /// ```
    fn from_der((tag, content): (u8, &[u8])) -> Option<Self> {
        let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
        let century = match (tag, text.get(..2)?) {
            (0x18, _) => "",
            (0x17, year) if year >= "50" => "19",
            (0x17, _) => "20",
            _ => return None,
        };
        let digits = format!("{century}{text}");
        (digits.len() == 14 && digits.bytes().all(|octet| octet.is_ascii_digit())).then_some(Self(digits))
    }
}

impl fmt::Display for Moment {
    /// The day.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |range| self.0.get(range).unwrap_or_default();
        write!(f, "{}-{}-{}", part(0..4), part(4..6), part(6..8))
    }
}

impl Facts {
    /// `None` for what is no certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let digest = digest(&SHA256, certificate);
        let fingerprint = digest.as_ref().iter().map(|octet| format!("{octet:02X}"));
        let mut to_be_signed = Der(Der(Der(certificate).sequence()?).sequence()?).peekable();
        to_be_signed.next_if(|(tag, _)| *tag == 0xa0); // version
        let mut fields = to_be_signed.skip(3); // serialNumber, signature, issuer
        let (_, validity) = fields.next()?;
        let mut validity = Der(validity);
        let not_before = Moment::from_der(validity.next()?)?;
        let not_after = Moment::from_der(validity.next()?)?;
        let extensions = fields.find(|(tag, _)| *tag == 0xa3).map(|(_, extensions)| extensions);
        let names = extensions.and_then(names).unwrap_or_default();
        Some(Self { not_before, not_after, names, fingerprint: fingerprint.collect::<Vec<_>>().join(":") })
    }
}

/// The subjectAltName's.
fn names(extensions: &[u8]) -> Option<Vec<String>> {
    const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    let alternative = Der(Der(extensions).sequence()?).find_map(|(_, extension)| {
        let mut fields = Der(extension);
        let (_, id) = fields.next()?;
        (id == SUBJECT_ALT_NAME).then(|| fields.last()).flatten()
    })?;
    let names = Der(Der(alternative.1).sequence()?).filter_map(|(tag, content)| match tag {
        0x82 => Some(String::from_utf8_lossy(content).into_owned()),
        0x87 => address(content).map(|address| address.to_string()),
        _ => None,
    });
    Some(names.collect())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// The values one behind the other: tag and content; ends where something is not DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn sequence(mut self) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == 0x30).map(|(_, content)| content)
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, length], rest) = self.0.split_first_chunk()?;
        // Up to three octets of length: more is no certificate.
        let more = if length < 0x80 { 0 } else { usize::from(length & 0x7f) };
        let (long, rest) = (more <= 3).then(|| rest.split_at_checked(more)).flatten()?;
        let length = match long {
            [] => usize::from(length),
            long => long.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)),
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_certificate_tells_its_names_and_its_days() {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into(), "::1".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1999, 12, 31);
        params.not_after = rcgen::date_time_ymd(2051, 1, 2);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let facts = Facts::of(certificate.der()).unwrap();
        assert_eq!(facts.names, ["localhost", "::1"]);
        assert_eq!(
            (facts.not_before.to_string(), facts.not_after.to_string()),
            ("1999-12-31".into(), "2051-01-02".into())
        );
        assert_eq!(facts.fingerprint.len(), 32 * 3 - 1);
    }

    #[test]
    fn moments_are_in_the_order_of_time() {
        let now = SystemTime::now();
        assert!(Moment::of(now) < Moment::of(now + Duration::from_secs(1)));
        let known = Moment::of(UNIX_EPOCH + Duration::from_secs(1_709_251_199));
        assert_eq!(known.0, "20240229235959");
    }

    proptest! {
        #[test]
        fn any_octets_panic_nowhere(octets in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..400, octet: u8) {
            let _ = Facts::of(&CertificateDer::from(octets));
            let params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
            let key = rcgen::KeyPair::generate().unwrap();
            let mut damaged = params.self_signed(&key).unwrap().der().to_vec();
            if let Some(place) = damaged.get_mut(at) {
                *place = octet;
            }
            let _ = Facts::of(&CertificateDer::from(damaged));
        }
    }
}
