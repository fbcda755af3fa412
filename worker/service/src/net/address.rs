//! Addresses of ports: the one that a program listens on, and the host that others use. IPv6 addresses are in brackets
//! wherever they stand beside a port or in a URL.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Why a text is not an address to listen on, or not a host.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The text is a host without a port, or a port without a host.
    #[error(
        "`{text}` is not a host with a port, as in 127.0.0.1:7070 or [::1]:7070; with port 0 the system chooses one"
    )]
    NoPort {
        /// The text as given.
        text: String,
    },
    /// The end of the IPv6 address is ambiguous.
    #[error("`{text}` has an IPv6 address without brackets; with a port it is written as in [::1]:7070")]
    NoBrackets {
        /// The text as given.
        text: String,
    },
    /// The host name does not resolve. The cause is part of the message, since an argument's error is one sentence.
    #[error("the host name `{host}` does not resolve ({source})")]
    Unresolved {
        /// The name.
        host: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The text is neither a name nor an IP address.
    #[error("`{text}` is not a host: expected a name or an IP address, without a scheme, a port or a zone")]
    NotHost {
        /// The text as given.
        text: String,
    },
}

/// Parses an IP address or a host name with a port.
///
/// # Errors
/// Fails if the port is missing, or the name does not resolve.
pub fn listen_address(text: &str) -> Result<SocketAddr, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let no_port = || AddressError::NoPort { text: text.to_owned() };
    let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
    if parse_ip(text).is_some() || host.is_empty() {
        // The last group of an IPv6 address may be its port as well.
        let is_bare = text.parse::<Ipv6Addr>().is_ok();
        return Err(if is_bare { AddressError::NoBrackets { text: text.to_owned() } } else { no_port() });
    }
    if host.contains(':') && !host.starts_with('[') {
        return Err(AddressError::NoBrackets { text: text.to_owned() });
    }
    let port: u16 = port.parse().map_err(|_| no_port())?;
    let unresolved = |source| AddressError::Unresolved { host: host.to_owned(), source };
    let mut found = (host, port).to_socket_addrs().map_err(unresolved)?;
    found.next().ok_or_else(|| unresolved(io::ErrorKind::NotFound.into()))
}

/// Parses a host and returns it as written in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
///
/// # Errors
/// Fails if the text is not a host.
pub fn url_host(text: &str) -> Result<String, AddressError> {
    if let Some(ip) = parse_ip(text) {
        return Ok(format_host(ip));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.is_empty() || !text.chars().all(is_name) {
        return Err(AddressError::NotHost { text: text.to_owned() });
    }
    Ok(text.to_owned())
}

/// Returns an IP address as written in a URL.
pub fn format_host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Returns whether only programs on this machine can reach an address.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Parses an IP address with or without brackets.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match inside {
        Some(inside) => inside.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_an_address_or_a_name() {
        for (text, means) in [
            ("127.0.0.1:7070", "127.0.0.1:7070"),
            ("[::1]:7070", "[::1]:7070"),
            ("[::]:0", "[::]:0"),
            ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), means);
        }
        let named = listen_address("localhost:7070").unwrap();
        assert!(is_loopback(named.ip()) && named.port() == 7070, "{named}");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_in_one_sentence() {
        let wrong = |text: &str| listen_address(text).unwrap_err().to_string();
        for text in ["127.0.0.1", "localhost", "[::1]", "host:port", ":7070", "host:70000"] {
            assert!(wrong(text).contains("is not a host with a port, as in"), "{text}: {}", wrong(text));
        }
        for text in ["::1:7070", "fe80::1:7070", "::1", "1:2:3:4:5:6:7:8:7070"] {
            assert!(wrong(text).contains("without brackets"), "{text}: {}", wrong(text));
        }
        let unknown = wrong("no-such-host.invalid:7070");
        assert!(unknown.starts_with("the host name `no-such-host.invalid` does not resolve ("), "{unknown}");
    }

    #[test]
    fn a_host_in_a_url_has_brackets_where_it_needs_them() {
        for (text, host) in [
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("2001:db8::7", "[2001:db8::7]"),
            ("10.0.0.1", "10.0.0.1"),
            ("node-7.cluster.local", "node-7.cluster.local"),
        ] {
            assert_eq!(url_host(text).unwrap(), host);
            assert!(format!("http://{host}:7070").parse::<http::Uri>().is_ok());
        }
        for text in ["", "http://x", "x:7070", "[::1]:7070", "fe80::1%eth0", "a b"] {
            assert!(url_host(text).is_err(), "{text}");
        }
    }
}
