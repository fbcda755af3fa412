//! The network side of both programs: one port each with TLS and tokens ([`Server`]), and gRPC channels to other
//! programs ([`channel()`]). A port without TLS or tokens is refused unless it is on loopback.

mod address;
mod channel;
mod connections;
mod server;
mod status_text;
mod tls;
mod token;

pub use address::{AddressError, format_host, is_loopback, listen_address, url_host};
pub use channel::{AuthInterceptor, NamedChannel, Unreachable, channel};
pub use server::{Guarded, Server, guarded};
pub use status_text::status_text;
pub use tls::{Tls, TlsArgs};
pub use token::{Guard, Token, Tokens, flight_user_agent};

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use dqa_pipelines::Hint;

/// Largest gRPC message in bytes: a shard task of some thousand pictures has one or two MiB.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Why a port or a channel cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The file of a certificate, a key or a token cannot be read.
    #[error("cannot read the {kind} {}", path.display())]
    File {
        /// What the file should contain: a certificate, a key or a token.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A token is too short to be secure.
    #[error("the token in {} has fewer than {} characters", path.display(), token::CHARACTERS_MIN)]
    ShortToken {
        /// The token's file.
        path: PathBuf,
    },
    /// A certificate was given without its key, or a key without its certificate.
    #[error("a certificate needs its key, and a key its certificate")]
    HalfIdentity,
    /// A port that other machines can reach would have no TLS or no tokens.
    #[error("{address} can be reached from other machines, and {lacks}")]
    Open {
        /// The port's address.
        address: SocketAddr,
        /// What the port lacks.
        lacks: &'static str,
    },
    /// The address is in use, or not this machine's.
    #[error("cannot listen on {address}{}", listen_reason(.source.kind()))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The text is not the address of a coordinator.
    #[error(
        "`{url}` is not the address of a coordinator: expected http://HOST:PORT or https://HOST:PORT, with an IPv6 address in \
         brackets"
    )]
    Url {
        /// The text as given.
        url: String,
    },
    /// The token would be sent over an unencrypted network.
    #[error("the token would be sent to {url} unencrypted")]
    ClearToken {
        /// The coordinator.
        url: String,
    },
    /// TLS or HTTP/2 cannot be configured.
    #[error("cannot set up the connection")]
    Transport(#[from] tonic::transport::Error),
}

impl Hint for NetError {
    fn hint(&self) -> Option<String> {
        let hint = Some(match self {
            NetError::Open { .. } => {
                "give --tls-cert, --tls-key and token files, or listen on 127.0.0.1 or [::1]; --insecure opens it all the same, \
                 for a network that you trust"
            }
            NetError::HalfIdentity => "--tls-cert and --tls-key go together",
            NetError::ShortToken { .. } => "make one with `openssl rand -hex 32`",
            NetError::ClearToken { .. } => "use https://, or --insecure on a network that you trust",
            NetError::Listen { source, .. } => match source.kind() {
                ErrorKind::AddrInUse => "give another port with --listen, or end the program that has this one",
                ErrorKind::AddrNotAvailable => {
                    "--listen takes an address of this machine; 0.0.0.0 and [::] stand for all of them"
                }
                ErrorKind::PermissionDenied => "give a port of 1024 or more with --listen",
                _ => return None,
            },
            _ => return None,
        });
        hint.map(str::to_owned)
    }
}

/// Returns the end of the sentence for common errors of a port.
fn listen_reason(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => ": another program has this port",
        ErrorKind::AddrNotAvailable => ": it is not an address of this machine",
        ErrorKind::PermissionDenied => ": this user may not use the port",
        _ => "",
    }
}
