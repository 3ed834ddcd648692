//! The certificate and its key: P-256, signed by itself, for a server and nothing else.

use chrono::{DateTime, TimeDelta, Utc};
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Name};

use super::name::Name;

/// Clients whose clock or time zone is wrong take a fresh certificate, too.
const CLOCKS_MAY_BE_SLOW: TimeDelta = TimeDelta::days(1);

/// The most that X.520 has for a common name.
const MAX_COMMON_NAME: usize = 64;

pub(super) struct Certificate {
    pub(super) pem: Vec<u8>,
    /// PKCS#8.
    pub(super) key_pem: Vec<u8>,
    pub(super) until: DateTime<Utc>,
    /// SHA-256, written as browsers do.
    pub(super) fingerprint: String,
}

impl Certificate {
    pub(super) fn new(names: &[Name], days: u16) -> Result<Certificate, ErrorStack> {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&curve)?)?;

        // The last second counts (RFC 5280, section 4.1.2.5).
        let now = Utc::now();
        let until = now + TimeDelta::days(days.into()) - TimeDelta::seconds(1);
        let time = |t: DateTime<Utc>| {
            let text = t.format("%Y%m%d%H%M%SZ").to_string();
            Asn1Time::from_str_x509(&text)
        };

        // People tell certificates in a list by it; clients look at the alternative names only.
        let common_name = names
            .iter()
            .map(Name::to_string)
            .find(|name| name.len() <= MAX_COMMON_NAME);
        let mut subject = X509Name::builder()?;
        subject.append_entry_by_nid(Nid::ORGANIZATIONNAME, "plainws cert")?;
        if let Some(name) = common_name {
            subject.append_entry_by_nid(Nid::COMMONNAME, &name)?;
        }
        let subject = subject.build();

        let mut builder = X509::builder()?;
        builder.set_version(2)?; // counts from 0
        builder.set_serial_number(&*serial()?)?;
        builder.set_subject_name(&subject)?;
        builder.set_issuer_name(&subject)?;
        builder.set_not_before(&*time(now - CLOCKS_MAY_BE_SLOW)?)?;
        builder.set_not_after(&*time(until)?)?;
        builder.set_pubkey(&key)?;

        // Not an authority: whoever trusts it, trusts it for its names alone, whatever becomes of
        // its key.
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
        builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
        let mut alternatives = SubjectAlternativeName::new();
        for name in names {
            match name {
                Name::Dns(name) => alternatives.dns(name),
                Name::Ip(ip) => alternatives.ip(&ip.to_string()),
            };
        }
        let context = builder.x509v3_context(None, None);
        let alternatives = alternatives.build(&context)?;
        let identifier = SubjectKeyIdentifier::new().build(&context)?;
        builder.append_extension(alternatives)?;
        builder.append_extension(identifier)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let certificate = builder.build();

        let digest = certificate.digest(MessageDigest::sha256())?;
        let digest: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(Certificate {
            pem: certificate.to_pem()?,
            key_pem: key.private_key_to_pem_pkcs8()?,
            until,
            fingerprint: digest.join(":"),
        })
    }
}

/// 128 random bits: Firefox refuses a second certificate of the same issuer and number.
fn serial() -> Result<Asn1Integer, ErrorStack> {
    let mut number = BigNum::new()?;
    number.rand(128, MsbOption::MAYBE_ZERO, false)?;
    number.to_asn1_integer()
}
