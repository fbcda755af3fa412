//! TLS by rustls: who a program is, and whom it trusts.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use super::NetError;

/// Flags of certificates.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct TlsArgs {
    /// This program's certificate with its chain (PEM).
    #[arg(long, env = "DQA_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Its key (PEM).
    #[arg(long, env = "DQA_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Who signs the others' certificates (PEM). A program that listens then takes only callers with one: mutual TLS.
    #[arg(long, env = "DQA_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
}

/// Certificates as they were read.
#[derive(Clone, Default)]
pub struct Tls {
    identity: Option<Identity>,
    authority: Option<Certificate>,
}

impl TlsArgs {
    /// Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read; half an identity.
    pub fn read(&self) -> Result<Tls, NetError> {
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(Identity::from_pem(file("certificate", certificate)?, file("key", key)?))
            }
            (None, None) => None,
            _ => return Err(NetError::HalfIdentity),
        };
        let authority = self.tls_ca.as_deref().map(|path| file("certificate authority", path)).transpose()?;
        Ok(Tls { identity, authority: authority.map(Certificate::from_pem) })
    }
}

impl Tls {
    /// Whether a port with it is encrypted.
    pub fn serves(&self) -> bool {
        self.identity.is_some()
    }

    /// Whether callers need a certificate too.
    pub fn is_mutual(&self) -> bool {
        self.identity.is_some() && self.authority.is_some()
    }

    /// For a port. With an authority a caller's certificate must be one of its; that there is one, each service's guard
    /// sees to.
    pub fn server(&self) -> Option<ServerTlsConfig> {
        let config = ServerTlsConfig::new().identity(self.identity.clone()?);
        Some(match &self.authority {
            Some(authority) => config.client_ca_root(authority.clone()).client_auth_optional(true),
            None => config,
        })
    }

    /// For a channel: it trusts the authority, or else those that the system trusts.
    pub fn client(&self) -> ClientTlsConfig {
        let config = match &self.authority {
            Some(authority) => ClientTlsConfig::new().ca_certificate(authority.clone()),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match &self.identity {
            Some(identity) => config.identity(identity.clone()),
            None => config,
        }
    }
}

fn file(what: &'static str, path: &Path) -> Result<Vec<u8>, NetError> {
    std::fs::read(path).map_err(|source| NetError::File { what, path: path.to_owned(), source })
}
