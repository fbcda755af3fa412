//! TLS by rustls: a program's identity, and the authority that it trusts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use super::NetError;

/// Time for a caller's TLS handshake, which takes one or two round trips.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Flags for certificates.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct TlsArgs {
    /// This program's certificate with its chain (PEM).
    #[arg(long, help_heading = crate::program::help::headings::SECURITY, env = "DQA_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's key (PEM).
    #[arg(long, help_heading = crate::program::help::headings::SECURITY, env = "DQA_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// The authority of the other programs' certificates (PEM). A port then accepts only callers with one: mutual TLS.
    #[arg(long, help_heading = crate::program::help::headings::SECURITY, env = "DQA_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
}

/// Certificates that were read from their files.
#[derive(Clone, Default)]
pub struct Tls {
    identity: Option<Identity>,
    authority: Option<Certificate>,
}

impl TlsArgs {
    /// Reads the files.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if a certificate is given without its key or a key without its certificate.
    pub fn read(&self) -> Result<Tls, NetError> {
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(Identity::from_pem(read_file("certificate", certificate)?, read_file("key", key)?))
            }
            (None, None) => None,
            _ => return Err(NetError::HalfIdentity),
        };
        let authority = self.tls_ca.as_deref().map(|path| read_file("certificate authority", path)).transpose()?;
        Ok(Tls { identity, authority: authority.map(Certificate::from_pem) })
    }
}

impl Tls {
    /// Returns whether a port with these certificates is encrypted.
    pub fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Returns whether callers need a certificate too.
    pub fn is_mutual(&self) -> bool {
        self.identity.is_some() && self.authority.is_some()
    }

    /// Returns the configuration of a port. With an authority, a caller's certificate must be signed by it; each
    /// service's guard makes sure that there is one.
    pub fn server_config(&self) -> Option<ServerTlsConfig> {
        let config = ServerTlsConfig::new().identity(self.identity.clone()?).timeout(HANDSHAKE_MAX);
        Some(match &self.authority {
            Some(authority) => config.client_ca_root(authority.clone()).client_auth_optional(true),
            None => config,
        })
    }

    /// Returns the configuration of a channel, which trusts the authority, or else the system's authorities.
    pub fn client_config(&self) -> ClientTlsConfig {
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

fn read_file(kind: &'static str, path: &Path) -> Result<Vec<u8>, NetError> {
    std::fs::read(path).map_err(|source| NetError::File { kind, path: path.to_owned(), source })
}
