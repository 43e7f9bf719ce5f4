//! The authority that footbridge makes for this computer, and the certificates it signed.
//!
//! An authority that apps trust could speak for any site, if its key were stolen, wherever a system passes over its
//! name constraints. So there is no such key: it signs the certificates of the next ten years, each valid for two
//! years from where the one before is about to end, and is gone. They renew themselves without it, and what is kept
//! on the disk can speak for nobody but this computer.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use ring::rand::{SystemRandom, generate};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::facts::{Facts, Moment};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Certificates signed at once: ten years, longer than most computers last.
const LEAVES: u32 = 5;

/// From the beginning of one certificate to that of the next.
const PERIOD: Duration = DAY.saturating_mul(730);

/// How long a certificate is valid beyond that: a clock may be wrong, and a bridge may have been off. Both together
/// are less than the 825 days that Apple's systems allow.
const OVERLAP: Duration = DAY.saturating_mul(60);

/// For a clock that is set back by a day.
const BACKDATED: Duration = DAY;

/// What stands in the state folder.
pub(super) struct Made {
    pub(super) authority: CertificateDer<'static>,
    pub(super) leaves: Vec<Leaf>,
}

/// One certificate and its key.
pub(super) struct Leaf {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) facts: Facts,
}

impl Made {
    /// From its PEM; `None` where that is not what [`make`] wrote.
    pub(super) fn read(pem: &[u8]) -> Option<Self> {
        let mut certificates = CertificateDer::pem_slice_iter(pem);
        let authority = certificates.next()?.ok()?;
        Facts::of(&authority)?;
        let mut keys = PrivateKeyDer::pem_slice_iter(pem);
        let mut leaves = Vec::new();
        for certificate in certificates {
            let certificate = certificate.ok()?;
            let facts = Facts::of(&certificate)?;
            leaves.push(Leaf { certificate, key: keys.next()?.ok()?, facts });
        }
        let whole = keys.next().is_none() && !leaves.is_empty();
        let fits =
            |leaf: &Leaf| super::server_config(vec![leaf.certificate.clone()], leaf.key.clone_key()).is_ok();
        (whole && leaves.iter().all(fits)).then_some(Self { authority, leaves })
    }

    /// Which certificate to show: the newest that is valid, or the first where the clock stands before all of them.
    /// `None` once the last one is over.
    pub(super) fn leaf_at(&self, now: &Moment) -> Option<usize> {
        let valid = |leaf: &Leaf| leaf.facts.not_before <= *now && *now < leaf.facts.not_after;
        let early = self.leaves.first().is_some_and(|leaf| *now < leaf.facts.not_before);
        self.leaves.iter().rposition(valid).or(early.then_some(0))
    }
}

/// Makes an authority, signs with it, and forgets its key. The PEM has the authority, then certificate and key of each leaf.
pub(super) fn make(now: SystemTime) -> Result<Zeroizing<String>, rcgen::Error> {
    let begin = now.checked_sub(BACKDATED).unwrap_or(now);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let authority = CertifiedIssuer::self_signed(authority_params(begin), key)?;
    let mut pem = Zeroizing::new(authority.pem());
    for nth in 0..LEAVES {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = leaf_params(begin + PERIOD * nth)?.signed_by(&key, &authority)?;
        let private = Zeroizing::new(key.serialize_pem());
        let _ = write!(pem, "{}{}", leaf.pem(), private.as_str()); // A string takes everything.
    }
    Ok(pem)
}

/// RFC 5280 §4.2.1.9, §4.2.1.10: critical both, so whoever does not understand them refuses.
fn authority_params(begin: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    valid(&mut params, begin, PERIOD * LEAVES + OVERLAP);
    // Two authorities of one name confuse the stores they are put in.
    params.distinguished_name.push(DnType::CommonName, format!("footbridge on this computer {}", nonce()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let one_v6 = CidrSubnet::V6(std::net::Ipv6Addr::LOCALHOST.octets(), [255; 16]);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 1], [255; 4])),
            GeneralSubtree::IpAddress(one_v6),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

fn leaf_params(begin: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    valid(&mut params, begin, PERIOD + OVERLAP);
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn nonce() -> String {
    let octets = generate::<[u8; 4]>(&SystemRandom::new()).map(ring::rand::Random::expose);
    // Without randomness there is no key either; the name alone would do.
    octets.map_or_else(|_| String::new(), |octets| format!("{:08x}", u32::from_be_bytes(octets)))
}

/// To the second.
fn valid(params: &mut CertificateParams, begin: SystemTime, lasts: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let begin = begin.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (params.not_before, params.not_after) = (epoch + begin, epoch + begin + lasts);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: u32, now: SystemTime) -> Moment {
        Moment::of(now + DAY * days)
    }

    #[test]
    fn what_is_made_is_read_back_and_spans_ten_years_without_a_gap() {
        let now = SystemTime::now();
        let made = Made::read(make(now).unwrap().as_bytes()).unwrap();
        assert_eq!(made.leaf_at(&at(0, now)), Some(0));
        let mut shown = Vec::new();
        for day in 0..=730 * LEAVES {
            shown.push(made.leaf_at(&at(day, now)).expect("no gap"));
        }
        assert!(shown.is_sorted() && shown.last() == Some(&4));
        assert_eq!(made.leaf_at(&at(730 * LEAVES + 60, now)), None);
        assert_eq!(made.leaf_at(&Moment::of(UNIX_EPOCH)), Some(0), "a clock without a battery");
        assert!(PERIOD + OVERLAP < DAY * 825);
        for leaf in &made.leaves {
            assert_eq!(leaf.facts.names, ["localhost", "127.0.0.1", "::1"]);
        }
    }

    #[test]
    fn the_authoritys_key_is_not_kept() {
        let pem = make(SystemTime::now()).unwrap();
        assert_eq!(pem.matches("PRIVATE KEY-----").count(), 2 * LEAVES as usize, "the leaves' own");
        let made = Made::read(pem.as_bytes()).unwrap();
        for leaf in made.leaves {
            let fits = super::super::server_config(vec![made.authority.clone()], leaf.key);
            assert!(fits.is_err(), "none of them is the authority's");
        }
    }

    #[test]
    fn what_is_damaged_is_not_read() {
        let (one, other) = (make(SystemTime::now()).unwrap(), make(SystemTime::now()).unwrap());
        let swapped = {
            let (certificates, _) = one.split_once("-----BEGIN PRIVATE").unwrap();
            let (_, key) = other.split_once("-----BEGIN PRIVATE").unwrap();
            format!("{certificates}-----BEGIN PRIVATE{key}")
        };
        let half = &one[..one.len() / 2];
        for damaged in ["", "hello", half, &swapped] {
            assert!(Made::read(damaged.as_bytes()).is_none());
        }
    }
}
