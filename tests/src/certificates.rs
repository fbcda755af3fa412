//! TLS certificates for one test: an authority and the certificates that it signs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// The PEM files of one program's certificate.
pub struct CertificateFiles {
    /// The signed certificate.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The certificate of the authority that signed it.
    pub authority: PathBuf,
}

impl Authority {
    /// Creates an authority that no program trusts yet.
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate for the loopback addresses of this machine, and writes its files to `folder`, named after
    /// `name`.
    pub fn sign(&self, folder: &Path, name: &str) -> CertificateFiles {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |ending: &str, text: &str| {
            let path = folder.join(format!("{name}-{ending}.pem"));
            std::fs::write(&path, text).unwrap();
            path
        };
        CertificateFiles {
            certificate: write("certificate", &certificate.pem()),
            key: write("key", &key.serialize_pem()),
            authority: write("authority", &self.pem),
        }
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl CertificateFiles {
    /// Returns the flags that make a program use this certificate.
    pub fn flags(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let flags = [
            ("--tls-cert", path(&self.certificate)),
            ("--tls-key", path(&self.key)),
            ("--tls-ca", path(&self.authority)),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }
}
