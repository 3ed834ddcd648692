//! Certificates made for a test: self-signed ones, and those of an issuer.

use std::sync::LazyLock;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::stack::Stack;
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use plainws::{Identity, Tls};

/// A certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    pub x509: X509,
    pub key: PKey<Private>,
}

/// How it shall be; by default for localhost, self-signed, P-256, valid from yesterday on.
pub struct Wish<'a> {
    pub names: &'a [&'a str],
    pub issuer: Option<&'a Certificate>,
    pub is_issuer: bool,
    pub rsa: bool,
    /// Days from now on until it expires.
    pub days: i64,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Wish {
            names: &["localhost", "127.0.0.1", "::1"],
            issuer: None,
            is_issuer: false,
            rsa: false,
            days: 30,
        }
    }
}

/// For localhost, 127.0.0.1 and ::1; made once, as its tests do not change it.
pub static LOCALHOST: LazyLock<Certificate> = LazyLock::new(Certificate::localhost);

const DAY: i64 = 24 * 60 * 60;

/// What `openssl ecparam` writes in front of a key of P-256.
pub const EC_PARAMETERS: &str =
    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

impl Certificate {
    /// For localhost, 127.0.0.1 and ::1, self-signed.
    pub fn localhost() -> Certificate {
        Certificate::new(&Wish::default())
    }

    pub fn new(wish: &Wish<'_>) -> Certificate {
        let key = if wish.rsa {
            PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
        } else {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
            PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
        };
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_nid(Nid::COMMONNAME, wish.names[0])
            .unwrap();
        let name = name.build();
        let mut serial = BigNum::new().unwrap();
        serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();

        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder
            .set_serial_number(&serial.to_asn1_integer().unwrap())
            .unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        let at = |seconds| Asn1Time::from_unix(seconds).unwrap();
        builder.set_not_before(&at(now - 400 * DAY)).unwrap();
        builder.set_not_after(&at(now + wish.days * DAY)).unwrap();
        let mut constraints = BasicConstraints::new();
        constraints.critical();
        if wish.is_issuer {
            constraints.ca();
        }
        builder
            .append_extension(constraints.build().unwrap())
            .unwrap();
        let mut names = SubjectAlternativeName::new();
        for name in wish.names {
            match name.parse::<std::net::IpAddr>() {
                Ok(_) => names.ip(name),
                Err(_) => names.dns(name),
            };
        }
        let (issuer_name, issuer_key) = match wish.issuer {
            Some(issuer) => (issuer.x509.subject_name(), &issuer.key),
            None => (&*name, &key),
        };
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
        builder.set_issuer_name(issuer_name).unwrap();
        builder.sign(issuer_key, MessageDigest::sha256()).unwrap();
        let x509 = builder.build();
        Certificate { x509, key }
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        String::from_utf8(self.x509.to_pem().unwrap()).unwrap()
    }

    /// The key in PKCS#8 PEM.
    pub fn key_pem(&self) -> String {
        String::from_utf8(self.key.private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    /// Both in one, as `localhost.pem`.
    pub fn combined(&self) -> String {
        self.pem() + &self.key_pem()
    }

    pub fn identity(&self) -> Identity {
        Identity::from_pem(self.pem().as_bytes(), self.key_pem().as_bytes()).expect("an identity")
    }

    pub fn tls(&self) -> Tls {
        Tls::new(&self.identity()).expect("a server's TLS")
    }

    /// The key in SEC1 PEM, `EC PRIVATE KEY`.
    pub fn sec1_pem(&self) -> String {
        String::from_utf8(self.key.ec_key().unwrap().private_key_to_pem().unwrap()).unwrap()
    }

    /// The key in PKCS#1 PEM, `RSA PRIVATE KEY`.
    pub fn pkcs1_pem(&self) -> String {
        String::from_utf8(self.key.rsa().unwrap().private_key_to_pem().unwrap()).unwrap()
    }

    /// The key in PKCS#8 PEM, encrypted.
    pub fn encrypted_pem(&self, password: &str) -> String {
        let cipher = Cipher::aes_256_cbc();
        let key = &self.key;
        let pem = key.private_key_to_pem_pkcs8_passphrase(cipher, password.as_bytes());
        String::from_utf8(pem.unwrap()).unwrap()
    }

    /// The key in SEC1 PEM, encrypted in the old way, by headers within the PEM.
    pub fn old_encrypted_pem(&self, password: &str) -> String {
        let key = self.key.ec_key().unwrap();
        let cipher = Cipher::aes_256_cbc();
        let pem = key.private_key_to_pem_passphrase(cipher, password.as_bytes());
        String::from_utf8(pem.unwrap()).unwrap()
    }

    /// All in one, with those of the issuers.
    pub fn pkcs12(&self, password: &str, issuers: &[&Certificate]) -> Vec<u8> {
        let mut chain = Stack::new().unwrap();
        for issuer in issuers {
            chain.push(issuer.x509.clone()).unwrap();
        }
        let mut builder = Pkcs12::builder();
        builder.name("test").pkey(&self.key).cert(&self.x509);
        let archive = builder.ca(chain).build2(password).unwrap();
        archive.to_der().unwrap()
    }

    /// The serial number in hexadecimal digits.
    pub fn serial(&self) -> String {
        serial(&self.x509)
    }

    /// The hash of the public key by which Chromium can be told to trust it.
    pub fn spki_hash(&self) -> String {
        let spki = self.key.public_key_to_der().unwrap();
        openssl::base64::encode_block(&hash(MessageDigest::sha256(), &spki).unwrap())
    }
}

/// The serial number in hexadecimal digits.
pub fn serial(x509: &X509) -> String {
    let number = x509.serial_number().to_bn().unwrap();
    number.to_hex_str().unwrap().to_string()
}

/// Who is shown to servers that ask: an issuer, and a certificate for `client` that it has made.
pub fn client_certificate() -> (Certificate, Certificate) {
    let issuer = Certificate::new(&Wish {
        names: &["Clients"],
        is_issuer: true,
        ..Wish::default()
    });
    let client = Certificate::new(&Wish {
        names: &["client"],
        issuer: Some(&issuer),
        ..Wish::default()
    });
    (issuer, client)
}
