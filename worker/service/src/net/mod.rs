//! What the cluster's programs do alike on the network: one port each with TLS and tokens ([`Server`]), and channels to
//! others ([`channel`]). It refuses to be open to a network without either.

mod address;
mod client;
mod server;
mod status;
mod tls;
mod token;

pub use address::{AddressError, host_of, is_loopback, listen_address, url_host};
pub use client::{Caller, channel};
pub use server::{Guarded, Server, guarded};
pub use status::said;
pub use tls::{Tls, TlsArgs};
pub use token::{Guard, Token, Tokens, flight_name};

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Of one message, in bytes: a shard's order of some thousand pictures has one or two MiB.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Why a port or a channel cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A file of a certificate, a key or a token.
    #[error("cannot read the {what} {}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A token that could be guessed.
    #[error("the token in {} has less than {} characters", path.display(), token::CHARACTERS_MIN)]
    ShortToken {
        /// Its file.
        path: PathBuf,
    },
    /// A certificate without its key, or the other way round.
    #[error("a certificate needs its key, and a key its certificate")]
    HalfIdentity,
    /// A port that others can reach, without TLS or tokens.
    #[error("{address} can be reached from other machines, and {lacks}")]
    Open {
        /// Where it was to listen.
        address: SocketAddr,
        /// What is missing.
        lacks: &'static str,
    },
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}{}", why_not(.source.kind()))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not an address of a program.
    #[error(
        "`{url}` is no address of a coordinator: it takes http://HOST:PORT or https://HOST:PORT, with an IPv6 address in brackets"
    )]
    Url {
        /// As given.
        url: String,
    },
    /// A token would go over the network in the clear.
    #[error("the token would be sent to {url} unencrypted")]
    ClearToken {
        /// The coordinator.
        url: String,
    },
    /// TLS or HTTP/2 cannot be set up so.
    #[error("cannot set up the connection")]
    Transport(#[from] tonic::transport::Error),
}

impl NetError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
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
        })
    }
}

fn why_not(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => ": another program has this port",
        ErrorKind::AddrNotAvailable => ": it is not an address of this machine",
        ErrorKind::PermissionDenied => ": this user may not use the port",
        _ => "",
    }
}
